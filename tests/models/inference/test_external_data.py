"""A model whose weights lie in other files is refused before a library opens them."""

import contextlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from models.inference.external_data import refuse_external_data
from models.inference.reference import ReferenceNetwork
from models.inference.runtime import OnnxNetwork


def tensor(*, external=True, name="weights"):
    made = numpy_helper.from_array(np.ones(4, dtype=np.float32), name)
    if external:
        external_data_helper.set_external_data(made, "../../secret")
        made.ClearField("raw_data")
        made.data_location = TensorProto.EXTERNAL
    return made


def constant(made):
    return helper.make_node("Constant", [], [made.name], value=made)


def graph(nodes=(), initializers=(), sparse=()):
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), "g", [], [output], list(initializers), sparse_initializer=list(sparse))


def model(made):
    return helper.make_model(made)


def within(node_or_tensor):
    """Return a model that holds something in a branch of a branch."""
    inner = graph([node_or_tensor]) if isinstance(node_or_tensor, onnx.NodeProto) else graph([], [node_or_tensor])
    for _ in range(2):
        inner = graph([helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=graph())])
    return model(inner)


def sparse():
    return helper.make_sparse_tensor(tensor(), numpy_helper.from_array(np.arange(4, dtype=np.int64), "i"), [8])


def function():
    made = model(graph())
    made.functions.append(helper.make_function("d", "f", [], ["y"], [constant(tensor())], []))
    return made


def trained():
    made = model(graph())
    made.training_info.add().algorithm.CopyFrom(graph([], [tensor()]))
    return made


def listed():
    node = helper.make_node("Custom", [], ["y"])
    node.attribute.append(helper.make_attribute("many", [tensor(external=False), tensor()]))
    return model(graph([node]))


def marked_only():
    made = tensor(external=False)
    made.data_location = TensorProto.EXTERNAL
    return model(graph([], [made]))


EXTERNAL = {
    "an initializer": lambda: model(graph([], [tensor()])),
    "a constant": lambda: model(graph([constant(tensor())])),
    "an initializer of a branch": lambda: within(tensor()),
    "a constant of a branch": lambda: within(constant(tensor())),
    "a sparse initializer": lambda: model(graph([], [], [sparse()])),
    "a function": function,
    "a training graph": trained,
    "a list of tensors": listed,
    "a mark alone": marked_only,
}


@pytest.mark.parametrize("place", EXTERNAL)
@pytest.mark.parametrize("opener", [OnnxNetwork, ReferenceNetwork])
def test_external_data_are_refused_wherever_a_tensor_lies(place, opener, tmp_path):
    """Both readers of networks refuse the file, in one line, before they open the named one."""
    (tmp_path / "n.onnx").write_bytes(EXTERNAL[place]().SerializeToString())

    with pytest.raises(ValueError, match="weights lie in other files") as caught:
        opener(tmp_path / "n.onnx")
    assert "\n" not in str(caught.value)


def test_a_model_that_holds_its_data_passes():
    """Tensors of all places that hold their values are accepted."""
    refuse_external_data(within(constant(tensor(external=False))).SerializeToString())
    refuse_external_data(model(graph([], [tensor(external=False)])).SerializeToString())


def test_the_own_format_of_onnxruntime_is_refused():
    """A file that onnxruntime would open without protobuf is no exported network."""
    with pytest.raises(ValueError, match="own format"):
        refuse_external_data(b"\x00\x00\x00\x00ORTM" + bytes(100))


def test_cut_and_changed_files_raise_only_value_errors():
    """Any prefix and any changed byte gives a result or a ValueError."""
    content = within(tensor(external=False)).SerializeToString()
    for at in range(len(content)):
        for changed in (content[:at], content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :]):
            with contextlib.suppress(ValueError):
                refuse_external_data(changed)
