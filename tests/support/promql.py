"""The names of metrics in a PromQL expression: what is an identifier and neither a word of the language nor a label."""

import re

_WORDS = {
    *("sum", "max", "min", "avg", "rate", "increase", "histogram_quantile", "vector", "absent"),
    *("by", "without", "or", "and", "unless", "on", "ignoring", "bool", "offset"),
}


def metric_names(expression: str) -> set[str]:
    """The names of metrics that an expression reads."""
    # Matchers, ranges, strings and lists of labels have names that are no metrics.
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    bare = re.sub(r"\b(?:by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    return set(re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare)) - _WORDS
