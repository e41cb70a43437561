"""GraphQL that numerapi has no method for, or whose response its method would change."""

ROUND = """
    number openTime closeTime closeStakingTime payoutFactor
    roundScoreConfigs { displayName name isPayout defaultMultiplier clipThreshold }
"""
CURRENT = f"query($tournament: Int!) {{ rounds(tournament: $tournament number: 0) {{ {ROUND} }} }}"
SUBMISSIONS = """
    query($modelId: String!) {
      submissions(modelId: $modelId) {
        id filename insertedAt selected status errorInfo round { number tournament }
      }
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
SUBMIT = ((UPLOAD_AUTH, "submission_upload_auth"), (CREATE, "create_submission"))
DIAGNOSE = ((DIAGNOSTICS_AUTH, "diagnosticsUploadAuth"), (CREATE_DIAGNOSTICS, "createDiagnostics"))
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
DOWNLOAD_AUTH = "query($id: String) { submissionDownloadAuth(id: $id) { filename url } }"
HOSTED = "query { account { models { name computePickleUpload { filename } } } }"
TOKEN = "query { account { username apiTokens { name public_id scopes } } }"  # noqa: S105 - a query
SCORES = """
    query($modelId: ID! $tournament: Int $lastNRounds: Int) {
      submissionScores(modelId: $modelId tournament: $tournament lastNRounds: $lastNRounds) {
        roundNumber displayName value percentile day date resolved
      }
    }
"""
PROFILE = "query($name: String! $tournament: Int) { v3UserProfile(model_name: $name tournament: $tournament) { id } }"
