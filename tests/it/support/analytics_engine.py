"""Runs queries for Analytics Engine over sqlite: standard input is {"points", "queries", "now"}, standard output a list of
results, each a list of rows. What sqlite lacks is made here; what Analytics Engine lacks fails in neither."""

import json
import re
import sqlite3
import sys

SECONDS = {"SECOND": 1, "MINUTE": 60, "HOUR": 3600, "DAY": 86400}


class QuantileExactWeighted:
    def __init__(self):
        self.values = []

    def step(self, level, value, weight):
        self.level = level
        self.values.append((value, weight))

    def finalize(self):
        self.values.sort()
        wanted = self.level * sum(weight for _, weight in self.values)
        for value, weight in self.values:
            wanted -= weight
            if wanted <= 0:
                return value
        return self.values[-1][0]


def adapted(query):
    query = re.sub(r"(quantileExactWeighted\([\d.]+)\)\(", r"\1, ", query)
    interval = lambda found: str(int(found[1]) * SECONDS[found[2]])
    return re.sub(r"INTERVAL '(\d+)' (\w+)", interval, query)


asked = json.load(sys.stdin)
database = sqlite3.connect(":memory:")
database.row_factory = sqlite3.Row
database.create_function("NOW", 0, lambda: asked["now"])
database.create_function("if", 3, lambda condition, yes, no: yes if condition else no)
database.create_aggregate("quantileExactWeighted", 3, QuantileExactWeighted)
blobs = [f"blob{n}" for n in range(1, 21)]
doubles = [f"double{n}" for n in range(1, 21)]
# An interval is a whole number; as a real one it divides as it does there.
columns = ["timestamp INTEGER", "_sample_interval REAL", "index1 TEXT"]
columns += [f"{name} TEXT" for name in blobs] + [f"{name} REAL" for name in doubles]
database.execute(f"CREATE TABLE octo_sts ({', '.join(columns)})")
for point in asked["points"]:
    row = [point["timestamp"], 1, point["index"]]
    row += point["blobs"] + [""] * (20 - len(point["blobs"]))
    row += point["doubles"] + [0] * (20 - len(point["doubles"]))
    database.execute(f"INSERT INTO octo_sts VALUES ({', '.join('?' * len(row))})", row)
results = [[dict(row) for row in database.execute(adapted(query))] for query in asked["queries"]]
json.dump(results, sys.stdout)
