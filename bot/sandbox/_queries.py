"""Resolvers of every query and mutation that numerapi 3.1.1 sends."""

import secrets
import uuid
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from typing import Any

from bot.sandbox._graphql import Arguments, Refused
from bot.sandbox._hosting import IMAGES, VERSIONS, known_option, pickle_json
from bot.sandbox._responses import iso, payout_json, performance_json, round_json, score_json, submission_json
from bot.sandbox._scores import diagnosed, score
from bot.sandbox._storage import SIGNATURE, Storage
from bot.sandbox.schedule import Window
from bot.sandbox.tournament import CLASSIC, Account, Submission, Tournament

PUBLIC = frozenset(
    {
        "rounds", "list_datasets", "dataset", "submission_scores", "v2_round_model_performances", "pipeline_status",
        "v3_user_profile",
    }
)  # fmt: skip
NEEDS = {
    "submission_upload_auth": "upload_submission",
    "create_submission": "upload_submission",
    "diagnostics_upload_auth": "upload_submission",
    "create_diagnostics": "upload_submission",
    "compute_pickle_upload_auth": "upload_submission",
    "create_compute_pickle_upload": "upload_submission",
    "assign_pickle_to_model": "upload_submission",
    "compute_pickles": "read_submission_info",
    "trigger_logs": "read_submission_info",
    "submissions": "read_submission_info",
    "diagnostics": "read_submission_info",
    "submission_download_auth": "download_submission",
    "account": "read_user_info",
    "v2_change_stake": "stake",
    "release_stake": "stake",
}


class Queries:
    """
    Resolvers of one request.

    Args:
        tournament: State of the tournament.
        storage: Storage behind presigned URLs.
        url: Base URL at which the client reaches the server.
        stale_s: Age of lists of submissions in sandbox seconds.
    """

    def __init__(self, tournament: Tournament, storage: Storage, url: str, *, stale_s: float = 0.0) -> None:
        self.tournament, self.storage, self.url = tournament, storage, url
        self._stale_s = stale_s

    def resolve(self, account: Account | None, name: str, arguments: Arguments) -> Any:  # noqa: ANN401 - JSON
        """
        Return the value of one field.

        Raises:
            Refused: The field is unknown, needs a key, or the tournament refuses.
        """
        # The resolver of a field is the method with one leading underscore; helpers have none, dunders two.
        method: Callable[..., Any] | None = None if name.startswith("_") else getattr(self, f"_{name}", None)
        if method is None:
            raise Refused(f'Cannot query field "{name}" on type "RootQueryType".')
        if name in PUBLIC:
            return method(arguments)
        if account is None or self.tournament.condition("key_revoked") is not None:
            raise Refused("Your session is invalid or has expired.")
        if name in NEEDS and NEEDS[name] not in account.scopes:
            raise Refused(f"Insufficient permissions: the API key lacks the scope {NEEDS[name]}")
        return method(arguments, account)

    def _rounds(self, arguments: Arguments) -> list[dict[str, Any] | None]:
        schedule, now = self.tournament.schedule, self.tournament.clock.now()
        wanted, limit = _whole(arguments, "number"), _whole(arguments, "limit")
        if wanted == 0:
            current = self.tournament.current()
            return [None if current is None else round_json(current, self.status(current))]
        newest, first = schedule.opened(now), schedule.first_round
        numbers = range(first, 1 + (first - 1 if newest is None else newest))
        shown = numbers[:-151:-1] if wanted is None else [wanted] if wanted in numbers else []
        listed = [self.tournament.upcoming(), *(schedule.round(number) for number in shown)]
        if wanted is not None:
            listed = [one for one in listed if one.number == wanted]
        if arguments.get("status") is not None:
            listed = [one for one in listed if self.status(one) == str(arguments["status"]).upper()]
        return [round_json(one, self.status(one)) for one in listed[:limit]]

    def status(self, window: Window) -> str:
        """Return the status of a round in the API's terms."""
        now = self.tournament.clock.now()
        if now < window.opens_at:
            return "UPCOMING"
        if now < window.closes_at:
            return "OPEN"
        return "RESOLVED" if now >= window.resolves_at else "RESOLVING"

    def _list_datasets(self, _: Arguments) -> list[str]:
        root = self.tournament.directory
        gone = self.tournament.condition("version_removed") is not None
        static = set() if gone else {str(path.relative_to(root)) for path in root.glob("v*/*") if path.is_file()}
        for version in self.tournament.added:
            static |= {f"{version}/{path.name}" for path in self.tournament.folder(version).iterdir()}
        if self.tournament.schedule.opened(self.tournament.clock.now()) is not None:
            versions = {name.partition("/")[0] for name in static}
            static |= {f"{version}/{name}" for version in versions for name in self.live_files()}
        return sorted(static)

    def live_files(self) -> list[str]:
        """Return the names of the live files of the newest round."""
        number = self.tournament.schedule.opened(self.tournament.clock.now())
        era = None if number is None else self.tournament.live_era(number)
        return [] if era is None else [path.name for path in era.folder.glob("live*") if path.is_file()]

    def _dataset(self, arguments: Arguments) -> str:
        version, _, name = str(arguments["filename"]).partition("/")
        if ".." in (version, *name.split("/")):
            raise Refused("no such dataset")
        number = self.tournament.schedule.opened(self.tournament.clock.now())
        path = self.tournament.folder(version) / name
        if name.startswith("live") and number is not None and "/" not in name:
            path = self.tournament.live_folder(number, version) / name
        return _signed(self.url, f"{version}/{name}", self.storage.grant_get(path))

    def _account(self, _: Arguments, account: Account) -> dict[str, Any]:
        token = {"name": "bot", "public_id": account.public_id, "scopes": list(account.scopes)}
        return {
            "username": account.username, "wallet_address": None, "available_nmr": "0.0", "email": None,
            "id": account.username, "mfa_enabled": True, "status": "VERIFIED", "inserted_at": "2026-01-01T00:00:00Z",
            "models": [
                {
                    "id": identity, "name": name, "tournament": CLASSIC, "v2_stake": None,
                    "compute_pickle_upload": self.hosted_by(identity),
                    "submissions": [submission_json(one) for one in self.tournament.of(identity)],
                }
                for name, identity in account.models.items()
            ],
            "api_tokens": [token], "wallet_txns": [],
        }  # fmt: skip

    def _model(self, arguments: Arguments, account: Account) -> dict[str, Any]:
        model = self.tournament.model(account, arguments["model_id"])
        return {
            "name": model.name,
            "id": model.id,
            "submissions": [submission_json(one) for one in self.tournament.of(model.id)],
        }

    def _submission_upload_auth(self, arguments: Arguments, account: Account) -> dict[str, str]:
        self.tournament.model(account, arguments.get("model_id"))
        name = stored_name(str(arguments["filename"]))
        return {"filename": name, "url": _signed(self.url, name, self.storage.grant_put(name))}

    _diagnostics_upload_auth = _submission_upload_auth
    _compute_pickle_upload_auth = _submission_upload_auth

    def _create_submission(self, arguments: Arguments, account: Account) -> dict[str, str]:
        created = self.tournament.create(
            account,
            filename=str(arguments["filename"]),
            model_id=arguments.get("model_id"),
            trigger_id=arguments.get("trigger_id"),
        )
        return {"id": created.id}

    def _submissions(self, arguments: Arguments, account: Account) -> list[dict[str, Any]]:
        identity = self.tournament.model(account, arguments["model_id"]).id
        seen_until = self.tournament.clock.now() - timedelta(seconds=self._stale_s)
        return [submission_json(one) for one in self.tournament.of(identity) if one.inserted_at <= seen_until]

    def _submission_download_auth(self, arguments: Arguments, account: Account) -> dict[str, str]:
        for one in self.tournament.submissions:
            if one.id == arguments["id"] and one.model_id in account.models.values():
                token = self.storage.grant_get(one.content)
                return {"filename": one.filename, "url": _signed(self.url, one.filename, token)}
        raise Refused("Submission not found")

    def _submission_scores(self, arguments: Arguments) -> list[dict[str, Any]]:
        wanted, rounds = arguments.get("display_name"), _whole(arguments, "last_n_rounds")
        held = self.tournament.of(str(arguments["model_id"]))
        newest = sorted({one.round for one in held}, reverse=True)[:rounds]
        return [
            score_json(one, self.tournament.schedule.round(one.round), name, value)
            for one in held
            if one.round in newest
            for name, value in self.scored(one).items()
            if wanted in (None, name)
        ]

    def scored(self, submission: Submission) -> dict[str, float]:
        """Return the scores of a selected submission; empty until its round has resolved. Computed once."""
        window = self.tournament.schedule.round(submission.round)
        era = self.tournament.live_era(submission.round)
        if era is None or not submission.selected or self.tournament.clock.now() < window.resolves_at:
            return {}
        if not submission.scores:
            submission.scores = score(submission, era)
        return submission.scores

    def _v2_round_model_performances(self, arguments: Arguments) -> list[dict[str, Any]]:
        model = str(arguments["model_id"])
        stake = self.tournament.stakes.get(model, 0.0)
        listed = [(one, self.tournament.schedule.round(one.round)) for one in self.tournament.of(model)]
        return [performance_json(one, window, self.scored(one), stake) for one, window in listed]

    def _pipeline_status(self, arguments: Arguments) -> dict[str, Any]:
        number = self.tournament.schedule.opened(self.tournament.clock.now())
        ready = None if number is None else iso(self.tournament.schedule.round(number).opens_at)
        return {"data_ready_at": ready, "is_scoring_day": True, "resolved_at": None, "scored_at": ready,
                "started_at": ready, "tournament": arguments.get("tournament")}  # fmt: skip

    def _create_diagnostics(self, arguments: Arguments, account: Account) -> dict[str, str]:
        model = self.tournament.model(account, arguments.get("model_id")).id
        content = self.tournament.uploaded.get(str(arguments["filename"]))
        if content is None:
            raise Refused(f"FileNotFoundError {arguments['filename']}")
        identity = str(uuid.uuid4())
        about = {"id": identity, "filename": str(arguments["filename"])}
        held = {"status": "pending", "content": content, "model": model, "about": about}
        self.tournament.diagnostics[identity] = held
        return {"id": identity}

    def _diagnostics(self, arguments: Arguments, account: Account) -> list[dict[str, Any]]:
        wanted = arguments.get("id")
        model = self.tournament.model(account, arguments["model_id"]).id
        return [
            self.diagnosed(held) | held["about"]
            for identity, held in self.tournament.diagnostics.items()
            if held["model"] == model and wanted in (None, identity)
        ]

    def diagnosed(self, held: dict[str, Any]) -> dict[str, Any]:
        """Return the diagnostics of an upload in their present status."""
        if held["status"] == "pending":
            # Pending at the first query, done at the next: a client that does not poll never gets a result.
            held["status"] = "running"
            return {"status": "pending", "message": None}
        if "result" not in held:
            held["result"] = deepcopy(diagnosed(held["content"], self.tournament.directory))
        result: dict[str, Any] = held["result"]
        return result

    def _set_submission_webhook(self, arguments: Arguments, account: Account) -> str:
        identity = self.tournament.model(account, arguments["model_id"]).id
        self.tournament.webhooks[identity] = arguments.get("new_submission_webhook")
        return "true"

    def _trigger_model_webhook(self, arguments: Arguments, account: Account) -> str:
        self.tournament.model(account, arguments["model_id"])
        return str(uuid.uuid4())

    def hosted_by(self, model_id: str) -> dict[str, Any] | None:
        """Return the pickle that a model runs, ``None`` where it runs none."""
        found = self.tournament.hosted.get(model_id)
        return None if found is None else pickle_json(found, [model_id])

    def _compute_pickle_data_versions(self, _: Arguments, __: Account) -> list[dict[str, str]]:
        return [{"name": name, "id": identity} for name, identity in VERSIONS.items()]

    def _compute_pickle_docker_images(self, _: Arguments, __: Account) -> list[dict[str, str]]:
        return [{"name": name, "id": identity} for name, identity in IMAGES.items()]

    def _create_compute_pickle_upload(self, arguments: Arguments, account: Account) -> dict[str, str]:
        model = self.tournament.model(account, arguments.get("model_id"))
        known_option(VERSIONS, arguments.get("data_version_id"), "Data version")
        known_option(IMAGES, arguments.get("docker_image_id"), "Docker image")
        return {"id": self.tournament.upload_pickle(model, str(arguments["filename"])).id}

    def _compute_pickles(self, arguments: Arguments, account: Account) -> list[dict[str, Any]]:
        identity = self.tournament.model(account, arguments["model_id"]).id
        listed = [one for one in self.tournament.pickles if one.model_id == identity]
        hosted = self.tournament.hosted
        for one in listed:
            one.look(
                hangs=self.tournament.condition("pickle_hangs") is not None,
                fails_with=self.tournament.condition("pickle_fails"),
            )
        return [pickle_json(one, [model for model, runs in hosted.items() if runs is one]) for one in listed]

    def _assign_pickle_to_model(self, arguments: Arguments, account: Account) -> str:
        model = self.tournament.model(account, arguments["model_id"])
        if arguments.get("pickle_id") is None:
            self.tournament.hosted.pop(model.id, None)
        else:
            self.tournament.assign(model, str(arguments["pickle_id"]))
        return "true"

    def _trigger_logs(self, arguments: Arguments, _: Account) -> list[dict[str, Any]]:
        runs = {run: (state, about) for one in self.tournament.pickles for run, state, about in one.runs}
        if arguments["trigger_id"] not in runs:
            raise Refused("Trigger not found")
        state, about = runs[arguments["trigger_id"]]
        return [{"timestamp": 0, "message": "loading the pickle"}, {"timestamp": 1, "message": about or state}]

    def _v3_user_profile(self, arguments: Arguments) -> dict[str, Any]:
        return {"id": str(arguments["model_name"]), "start_date": "2026-01-01T00:00:00Z", "bio": None,
                "username": str(arguments["model_name"]), "nmr_staked": "0.0", "stake_value": "0.0"}  # fmt: skip

    def _pending_model_payouts(self, _: Arguments, account: Account) -> dict[str, list[Any]]:
        listed: dict[str, list[Any]] = {"actual": [], "pending": []}
        for model in self.tournament.stakes.keys() & account.models.values():
            for one in filter(lambda one: one.selected, self.tournament.of(model)):
                window, scores = self.tournament.schedule.round(one.round), self.scored(one)
                payout = payout_json(one, window, scores, self.tournament.stakes[model])
                listed["actual" if scores else "pending"].append(payout)
        return listed

    def _v3_stake_config(self, _: Arguments, __: Account) -> dict[str, Any]:
        return {"address": "0x0", "authorization_signer": "0x0", "nmr_address": "0x0", "owner": "0x0", "paused": False,
                "pending_owner": None, "service_wallet": "0x0"}  # fmt: skip

    def _v2_change_stake(self, arguments: Arguments, _: Account) -> dict[str, Any]:
        return {"due_date": None, "requested_amount": str(arguments["value"]), "status": "", "type": arguments["type"]}

    def _release_stake(self, arguments: Arguments, _: Account) -> dict[str, Any]:
        return {"id": None, "due_date": None, "status": "", "type": "drain", "drain": True,
                "requested_amount": str(arguments.get("amount"))}  # fmt: skip


def _whole(arguments: Arguments, name: str) -> int | None:
    """Return an argument as an integer, from a number or a string; ``None`` if it is null or left out."""
    value = arguments.get(name)
    if value is not None and not str(value).removeprefix("-").isdecimal():
        raise Refused(f'Argument "{name}" has invalid value {value}.')
    return None if value is None else int(value)


def _signed(url: str, name: str, token: str) -> str:
    """Return a presigned URL. Its query is a secret, because it grants access to the file."""
    return f"{url}storage/{name}?X-Amz-Expires=300&{SIGNATURE}={token}"


def stored_name(filename: str) -> str:
    """Return the name the server gives an upload: its stem, 12 random characters, its ending."""
    stem, dot, ending = filename.rpartition(".")
    suffix = secrets.token_urlsafe(12).replace("_", "x").replace("-", "y")[:12]
    return f"{stem}-{suffix}.{ending}" if dot else f"{filename}-{suffix}"
