"""
Read torch networks back from an exported ONNX file, so that the served file can be inspected without a second copy.

torch's exporter stores some weights transposed, equal ones once, and folds some into others. So the export records the
initializer of each weight, and adds the few small ones that were folded.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

if TYPE_CHECKING:  # torch takes two seconds to import, and only `restore` needs it
    from models.network.network import Network
    from models.network.seeds import SeedAverage

CONFIG_KEY, WEIGHTS_KEY = "network", "weights"
"""Metadata keys of the network's config, and of each weight's initializer and whether it is transposed."""

Array = npt.NDArray[np.generic]


def record(network: "Network | SeedAverage", path: Path) -> None:
    """Record the config of *network* and the initializer of each weight in an exported file, and add the missing ones."""
    model = onnx.load(path)
    places: dict[tuple[tuple[int, ...], bytes], str] = {}
    for initializer in model.graph.initializer:
        value = numpy_helper.to_array(initializer)
        places.setdefault((value.shape, value.tobytes()), initializer.name)
    found: dict[str, tuple[str, bool]] = {}
    for name, tensor in network.state_dict().items():
        value = tensor.detach().cpu().numpy()
        turned = np.ascontiguousarray(value.T)
        if place := places.get((value.shape, value.tobytes())):
            found[name] = (place, False)
        elif place := places.get((turned.shape, turned.tobytes())):
            found[name] = (place, True)
        else:
            model.graph.initializer.append(numpy_helper.from_array(value, f"weight.{name}"))
            found[name] = (f"weight.{name}", False)
    config = json.dumps(network.config.to_json(), sort_keys=True)
    onnx.helper.set_model_props(model, {CONFIG_KEY: config, WEIGHTS_KEY: json.dumps(found)})
    onnx.save(model, path)


def restore(path: Path) -> "SeedAverage":
    """
    Return the networks of an exported file, in evaluation mode.

    Raises:
        OSError: The file cannot be read.
        ValueError: The file was not exported by this bot, or before the export recorded weights.
    """
    import torch  # noqa: PLC0415

    from models.network.network import Network  # noqa: PLC0415
    from models.network.network_config import NetworkConfig  # noqa: PLC0415
    from models.network.seeds import SeedAverage  # noqa: PLC0415

    model = onnx.load(path)
    about = {entry.key: entry.value for entry in model.metadata_props}
    if WEIGHTS_KEY not in about or CONFIG_KEY not in about:
        raise ValueError(f"{path} has no record of its weights; `bot retrain` makes an artifact that has one")
    values = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    state = {}
    for name, (place, turned) in json.loads(about[WEIGHTS_KEY]).items():
        value: Array = values[place].T if turned else values[place]
        state[name if name.startswith("networks.") else f"networks.0.{name}"] = torch.from_numpy(value.copy())
    config = NetworkConfig.from_json(json.loads(about[CONFIG_KEY]))
    count = 1 + max(int(name.split(".")[1]) for name in state)
    average = SeedAverage([Network(config) for _ in range(count)])
    average.load_state_dict(state)
    return average.eval()


def split_seeds(path: Path, folder: Path) -> tuple[Path, ...]:
    """
    Write each network of an exported :class:`models.network.seeds.SeedAverage` into *folder*.

    The average ends in the logarithm of a sum over stacked class probabilities, or in the mean of stacked scores; the
    inputs of the stack are the outputs of the networks. The files take the same inputs as the average. :class:`models.inference.runtime.OnnxNetwork` opens them.

    Args:
        path: File that :func:`models.inference.export.export` wrote.
        folder: Folder of the new files.

    Returns:
        One path a network in the order of their seeds; empty if the graph holds a single network.
    """
    model = onnx.load(path)
    made_by = {name: node for node in model.graph.node for name in node.output}
    total: onnx.NodeProto | None = made_by["logits"]
    if total is not None and total.op_type == "Sub":
        total = made_by.get(total.input[0])
    if total is None or total.op_type not in ("ReduceLogSumExp", "ReduceMean"):
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
