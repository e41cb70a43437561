"""A contract of import-linter: modules whose name begins with an underscore are imported only inside their package."""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, output


class PrivateModules(Contract):
    """Refuses imports of ``bot.x._y`` from outside ``bot.x``."""

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Collect every import that reaches into another package."""
        del verbose
        reached = [
            (importer, private)
            for private in sorted(graph.modules)
            if private.startswith(("bot.", "models.")) and private.rpartition(".")[2].startswith("_")
            for importer in sorted(graph.find_modules_that_directly_import(private))
            if not f"{importer}.".startswith(f"{private.rpartition('.')[0]}.")
        ]
        return ContractCheck(kept=not reached, metadata={"reached": reached})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print one line an import."""
        for importer, private in check.metadata["reached"]:
            output.print_error(f"{importer} imports {private}, which is private to {private.rpartition('.')[0]}")
