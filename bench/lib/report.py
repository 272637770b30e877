"""A run's figures as a table, and as JSON."""
import json
import os
import platform
import statistics
import subprocess


def machine():
    """What the figures depend on."""
    model = ""
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
            "librdkafka": version("rdkafka"), "libcurl": version("libcurl"),
            "commit": commit(), "load_before": os.getloadavg()[0]}


def version(package):
    done = subprocess.run(["pkg-config", "--modversion", package], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def commit():
    done = subprocess.run(["git", "-C", os.path.dirname(os.path.abspath(__file__)), "describe", "--always", "--dirty"],
                          capture_output=True, text=True, check=False)
    return done.stdout.strip()


def summary(numbers):
    return {"median": statistics.median(numbers), "min": min(numbers), "max": max(numbers), "rounds": numbers}


def judge(bench, figures):
    """The ratios and bounds with their values."""
    def median(variant, figure):
        numbers = figures.get(variant, {}).get(figure)
        return statistics.median(numbers) if numbers else None

    rows = []
    for ratio in bench.ratios:
        over, under = median(ratio.over, ratio.figure), median(ratio.under, ratio.figure)
        if over is not None and under:
            # of the rounds' own ratios: what slows a whole round down leaves them alone
            pairs = zip(figures[ratio.over][ratio.figure], figures[ratio.under][ratio.figure])
            value = statistics.median([a / b for a, b in pairs if b])
            rows.append({"label": ratio.label, "value": value, "bar": ratio.bar, "is": "at least",
                         "met": ratio.bar is None or value >= ratio.bar})
    for bound in getattr(bench, "bounds", []):
        value = median(bound.variant, bound.figure)
        if value is not None:
            rows.append({"label": bound.label, "value": value, "bar": bound.bar, "is": "below",
                         "met": value < bound.bar})
    return rows


def write(module, bench, figures, path):
    names = []
    for variant in bench.variants:
        names += [name for name in figures[variant.name] if name not in names]
    width = max(len(v.label) for v in bench.variants) + 2
    print(f"\n{module.TITLE}: median (min .. max) of the rounds\n")
    print(" " * width + "".join(f"{name:>30}" for name in names))
    for variant in bench.variants:
        cells = []
        for name in names:
            numbers = figures[variant.name].get(name)
            cells.append(f"{statistics.median(numbers):,.5g} ({min(numbers):,.5g} .. {max(numbers):,.5g})"
                         if numbers else "-")
        print(f"{variant.label:<{width}}" + "".join(f"{cell:>30}" for cell in cells))
    rows = judge(bench, figures)
    print()
    for row in rows:
        bar = f"   bar: {row['is']} {row['bar']:g}, {'met' if row['met'] else 'MISSED'}" if row["bar"] else ""
        print(f"{row['label']:<68} {row['value']:8.2f}{bar}")
    if path:
        labels = {variant.name: variant.label for variant in bench.variants}
        result = {"benchmark": module.__name__, "machine": machine(), "ratios": rows,
                  "variants": {name: {"label": labels[name], "figures": {f: summary(n) for f, n in of.items()}}
                               for name, of in figures.items()}}
        with open(path, "w", encoding="utf-8") as f:
            json.dump(result, f, indent=2)
            f.write("\n")
