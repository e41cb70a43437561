"""
GraphQL of the bot.

A query of a submission selects only the fields that a submission needs. ``SPARE`` names the fields that it can do
without: where the server has removed one, the query is sent again without it.
"""

import re

ROUND = "number openTime closeTime closeStakingTime"
CURRENT = f"query($tournament: Int!) {{ rounds(tournament: $tournament number: 0) {{ {ROUND} }} }}"
ONE_ROUND = (
    f"query($tournament: Int!, $number: Int!) {{ rounds(tournament: $tournament number: $number) {{ {ROUND} }} }}"
)
UPCOMING = f"query($tournament: Int!) {{ rounds(tournament: $tournament status: UPCOMING) {{ {ROUND} }} }}"
PAY = f"""
    query($tournament: Int!, $number: Int!) {{
      rounds(tournament: $tournament number: $number) {{
        {ROUND} payoutFactor
        roundScoreConfigs {{ displayName name isPayout defaultMultiplier clipThreshold }}
      }}
    }}
"""
MODELS = "query { account { models { id name tournament } } }"
DATASETS = "query($tournament: Int) { listDatasets(tournament: $tournament) }"
DATASET = """
    query($filename: String! $tournament: Int) { dataset(filename: $filename tournament: $tournament) }
"""
SUBMISSIONS = """
    query($modelId: String!) {
      submissions(modelId: $modelId) { id filename selected errorInfo round { number tournament } }
    }
"""
UPLOAD_AUTH = """
    query($filename: String! $tournament: Int! $modelId: String) {
      submission_upload_auth(filename: $filename tournament: $tournament modelId: $modelId) { filename url }
    }
"""
CREATE = """
    mutation($filename: String! $tournament: Int! $modelId: String $triggerId: String $dataDatestamp: Int) {
      create_submission(filename: $filename tournament: $tournament modelId: $modelId triggerId: $triggerId
                        source: "numerapi" dataDatestamp: $dataDatestamp) { id }
    }
"""
DIAGNOSTICS_AUTH = """
    query($filename: String! $tournament: Int! $modelId: String) {
      diagnosticsUploadAuth(filename: $filename tournament: $tournament modelId: $modelId) { filename url }
    }
"""
CREATE_DIAGNOSTICS = """
    mutation($filename: String! $tournament: Int! $modelId: String) {
      createDiagnostics(filename: $filename tournament: $tournament modelId: $modelId) { id }
    }
"""
PICKLE_AUTH = """
    query($filename: String! $modelId: String) {
      computePickleUploadAuth(filename: $filename modelId: $modelId) { filename url }
    }
"""
CREATE_PICKLE = """
    mutation($filename: String! $tournament: Int! $modelId: String $dataVersionId: String $dockerImageId: String) {
      createComputePickleUpload(filename: $filename tournament: $tournament modelId: $modelId
                                dataVersionId: $dataVersionId dockerImageId: $dockerImageId) { id }
    }
"""
SUBMIT = ((UPLOAD_AUTH, "submission_upload_auth"), (CREATE, "create_submission"))
DIAGNOSE = ((DIAGNOSTICS_AUTH, "diagnosticsUploadAuth"), (CREATE_DIAGNOSTICS, "createDiagnostics"))
HOST = ((PICKLE_AUTH, "computePickleUploadAuth"), (CREATE_PICKLE, "createComputePickleUpload"))
"""The query for a presigned URL and the mutation for a stored file, each with the field of its response."""

DIAGNOSTICS_IDS = "query($modelId: String!) { diagnostics(modelId: $modelId) { id filename } }"
DIAGNOSTICS = """
    query($id: String $modelId: String!) {
      diagnostics(id: $id modelId: $modelId) {
        status message erasAcceptedCount perEraDiagnostics { era validationCorrV4 validationBmc validationMmc }
      }
    }
"""
PAYOUTS = """
    query($tournament: Int!) {
      pendingModelPayouts(tournament: $tournament) {
        actual { roundNumber modelName payoutNmr } pending { roundNumber modelName payoutNmr }
      }
    }
"""
STAKES = """
    query($modelId: String! $tournament: Int!) {
      v2RoundModelPerformances(modelId: $modelId tournament: $tournament) { roundNumber atRisk }
    }
"""
DOWNLOAD_AUTH = "query($id: String) { submissionDownloadAuth(id: $id) { url } }"
HOSTED = """
    query { account { models { name tournament computePickleUpload { id filename validationStatus triggerStatus } } } }
"""
PICKLES = """
    query($modelId: ID) {
      computePickles(modelId: $modelId) {
        id filename validationStatus triggerStatus diagnosticsStatusDescription
        triggers { id status statuses { status description } }
      }
    }
"""
ASSIGN = """
    mutation($modelId: String $pickleId: ID) { assignPickleToModel(modelId: $modelId pickleId: $pickleId) }
"""
PICKLE_VERSIONS = "query { computePickleDataVersions { name id } }"
PICKLE_IMAGES = "query { computePickleDockerImages { name id } }"
PICKLE_LOG = "query($triggerId: ID!) { triggerLogs(triggerId: $triggerId) { message } }"
TOKEN = "query { account { apiTokens { public_id scopes } } }"  # noqa: S105 - a query
SCORES = """
    query($modelId: ID! $tournament: Int $lastNRounds: Int) {
      submissionScores(modelId: $modelId tournament: $tournament lastNRounds: $lastNRounds) {
        roundNumber displayName value percentile day date resolved
      }
    }
"""
PROFILE = "query($name: String! $tournament: Int) { v3UserProfile(model_name: $name tournament: $tournament) { id } }"

SPARE = {
    **dict.fromkeys((CURRENT, ONE_ROUND, UPCOMING, PAY), ("closeTime", "closeStakingTime")),
    MODELS: ("tournament",),
    HOSTED: ("tournament", "validationStatus", "triggerStatus"),
    PICKLES: ("triggerStatus", "diagnosticsStatusDescription", "triggers"),
    SUBMISSIONS: ("selected", "errorInfo", "tournament"),
    SCORES: ("percentile", "day", "date", "resolved"),
}
"""Fields of a query that the bot can do without, by the query."""


def without(query: str, name: str) -> str:
    """Return a query that does not select the field *name* with its own fields; arguments and variables stay."""
    inner = r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}"
    return re.sub(rf"(?<![$\w]){name}\b(?!\s*:)(?:\s*{inner})?", "", query)
