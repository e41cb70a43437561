"""Names of an artifact's files, and of predictions that are no members."""

ENSEMBLE = "ensemble"
"""Name of the blended prediction beside those of its members: in manifests, evaluations, reports and round reports."""

ELSEWHERE = "trained_elsewhere"
"""Key of a manifest that lists the members that the bot has not trained."""

BENCHMARK = "benchmark"
"""Neutralizer of an ensemble that is neutralized to Numerai's benchmark model instead of features."""

PREPROCESS = "preprocess.json"
"""Manifest of the preprocessing of members without a feature set of their own."""

HISTORY = "history.npz"
"""State of the factor history that all networks read."""

GOLDEN = "golden.npz"
"""Rows and their scores, which an artifact must reproduce when it is opened."""

EVALUATION = "evaluation.json"
"""Scores of every era of the judgement."""

JUDGED = "judged-"
"""Prefix of the files of models that have not seen the hold-out, beside those that serve."""

DISTRIBUTIONS = "marginals.npz"
"""Distributions of the feature values in the training eras."""

STARTER = "starter"
"""Name of the recipe whose champion fills rounds until a slot's own recipe has one."""
