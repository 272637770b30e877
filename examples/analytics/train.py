#!/usr/bin/python3
"""train.py [--horizon-s 86400] [--shuffle-labels]: trains a small model on analytics.feature.

Will a customer order again within the horizon?  A logistic regression, in plain Python: some thousand orders and five
features need no more.  It reads a snapshot, away from the hot path, and keeps the model in analytics.model.

What makes the numbers honest: a feature is what was known when the order was placed; an order whose horizon is not
over yet has no label, whichever way it would go; the model is measured on orders later than all that it has learned
from, beside the share of those who come again, which needs no model.  With --shuffle-labels there is nothing to be
learned, and the model must not find anything.
"""
import argparse
import json
import math
import os
import random
import sys

import psycopg2

FEATURES = """
SELECT amount::float8, ln(1 + orders_before)::float8, ln(1 + spent_before)::float8,
       ln(1 + coalesce(greatest(seconds_since_last, 0), 0))::float8, (seconds_since_last IS NULL)::int::float8,
       (next_at IS NOT NULL AND next_at <= at + make_interval(secs => %(horizon)s))::int
  FROM analytics.feature
 WHERE at <= (SELECT max(at) FROM analytics.feature) - make_interval(secs => %(horizon)s)
 ORDER BY at, order_id"""
NAMES = ("amount", "orders_before", "spent_before", "seconds_since_last", "first_order")
ROUNDS = 300
RATE = 0.5
RIDGE = 1e-3


def standardise(rows, spread):
    return [[(value - mean) / deviation for value, (mean, deviation) in zip(row, spread)] for row in rows]


def spread_of(rows):
    """Mean and deviation of each column."""
    result = []
    for column in zip(*rows):
        mean = sum(column) / len(column)
        deviation = math.sqrt(sum((value - mean) ** 2 for value in column) / len(column))
        result.append((mean, deviation if deviation > 1e-9 else 1.0))
    return result


def probability(weights, row):
    score = weights[0] + sum(w * value for w, value in zip(weights[1:], row))
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))


def fit(rows, labels):
    """By gradient descent; the first weight is the constant."""
    weights = [0.0] * (len(rows[0]) + 1)
    for _ in range(ROUNDS):
        gradient = [0.0] + [RIDGE * w for w in weights[1:]]
        for row, label in zip(rows, labels):
            error = (probability(weights, row) - label) / len(rows)
            gradient[0] += error
            for i, value in enumerate(row):
                gradient[i + 1] += error * value
        weights = [w - RATE * g for w, g in zip(weights, gradient)]
    return weights


def log_loss(probabilities, labels):
    clipped = [min(max(p, 1e-6), 1 - 1e-6) for p in probabilities]
    return -sum(math.log(p if label else 1 - p) for p, label in zip(clipped, labels)) / len(labels)


def auc(probabilities, labels):
    """How often one that came again is ranked above one that did not; ties count half."""
    ranked = sorted(zip(probabilities, labels))
    positives = sum(labels)
    below = wins = i = 0
    while i < len(ranked):
        same = [label for p, label in ranked[i:] if p == ranked[i][0]] if i + 1 < len(ranked) and \
            ranked[i + 1][0] == ranked[i][0] else [ranked[i][1]]
        wins += sum(same) * (below + (len(same) - sum(same)) / 2)
        below += len(same) - sum(same)
        i += len(same)
    return wins / (positives * below) if positives and below else 0.5


def train(rows, labels):
    cut = len(rows) * 3 // 4  # the later quarter is not learned from
    spread = spread_of(rows[:cut])
    weights = fit(standardise(rows[:cut], spread), labels[:cut])
    guesses = [probability(weights, row) for row in standardise(rows[cut:], spread)]
    rate = sum(labels[:cut]) / cut
    return {"trained_on": cut, "tested_on": len(rows) - cut, "constant": weights[0],
            "weights": dict(zip(NAMES, weights[1:])), "spread": dict(zip(NAMES, spread)),
            "log_loss": log_loss(guesses, labels[cut:]),
            "log_loss_without_model": log_loss([rate] * (len(rows) - cut), labels[cut:]),
            "auc": auc(guesses, labels[cut:])}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--horizon-s", type=float, default=86400)
    parser.add_argument("--shuffle-labels", action="store_true")
    options = parser.parse_args()
    connection = psycopg2.connect(os.environ.get("OUTBOX_DSN", ""), connect_timeout=5)
    with connection, connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = '60s'")
        cursor.execute(FEATURES, {"horizon": options.horizon_s})
        found = cursor.fetchall()
        rows, labels = [row[:-1] for row in found], [row[-1] for row in found]
        if len(rows) < 40 or len(set(labels[:len(rows) * 3 // 4])) < 2:
            sys.exit(f"train.py: {len(rows)} orders with a label, {sum(labels)} of which were followed by another:"
                     " too few to learn from")
        if options.shuffle_labels:
            random.Random(1).shuffle(labels)
        model = train(rows, labels)
        if not options.shuffle_labels:
            cursor.execute("INSERT INTO analytics.model (model) VALUES (%s)", (json.dumps(model),))
    connection.close()
    print(json.dumps(model, indent=2))


main()
