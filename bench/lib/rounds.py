"""The variants of a benchmark in turn, round by round."""
import sys


class Variant:
    """One thing measured. The label stands in the table."""

    def __init__(self, name, label):
        self.name = name
        self.label = label


class Ratio:
    """A figure of one variant over that of another, and the bar it should reach."""

    def __init__(self, label, figure, over, under, bar=None):
        self.label, self.figure, self.over, self.under, self.bar = label, figure, over, under, bar


class Bound:
    """A figure that should stay below a bar, where no ratio would say anything."""

    def __init__(self, label, figure, variant, bar):
        self.label, self.figure, self.variant, self.bar = label, figure, variant, bar


def run(bench, count):
    """Calls bench.measure(variant), which returns {figure: number}; returns
    {variant: {figure: [number of each round]}}."""
    figures = {variant.name: {} for variant in bench.variants}
    for n in range(1, count + 1):
        for variant in bench.variants:
            taken = bench.measure(variant)
            shown = ", ".join(f"{name} {number:,.6g}" for name, number in taken.items())
            print(f"round {n}/{count} {variant.name}: {shown}", file=sys.stderr, flush=True)
            for name, number in taken.items():
                figures[variant.name].setdefault(name, []).append(number)
    return figures
