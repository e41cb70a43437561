"""The networks inside an exported average of seeds, each as a graph of its own; only for looking at them."""

from pathlib import Path

import onnx


def split_seeds(path: Path, folder: Path) -> tuple[Path, ...]:
    """
    Write each network of an exported :class:`models.network.seeds.SeedAverage` into *folder*.

    The average ends in the logarithm of a sum over stacked class probabilities; what goes into the stack is what each
    network says. The files take the same inputs as the average and are read by :class:`models.inference.runtime.OnnxNetwork`.

    Args:
        path: What :func:`models.inference.export.export` wrote.
        folder: Where the files go.

    Returns:
        One path per network in the order of their seeds; none where the graph is of a single network.
    """
    model = onnx.load(path)
    made_by = {name: node for node in model.graph.node for name in node.output}
    final = made_by["logits"]
    total = made_by.get(final.input[0])
    if final.op_type != "Sub" or total is None or total.op_type != "ReduceLogSumExp":
        return ()
    members = [made_by[name].input[0] for name in made_by[total.input[0]].input]
    paths = []
    for index, name in enumerate(members):
        own = onnx.ModelProto()
        own.CopyFrom(model)
        kept = [node for node in own.graph.node if "logits" not in node.output]
        del own.graph.node[:]
        own.graph.node.extend([*kept, onnx.helper.make_node("Identity", [name], ["logits"])])
        paths.append(folder / f"{path.stem}-{index}.onnx")
        onnx.save(own, paths[-1])
    return tuple(paths)
