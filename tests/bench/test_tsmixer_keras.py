import numpy as np
import pytest
import torch

from bench.tsmixer_keras import TSMixer, TSMixerConfig

CONFIG = {"lookback": 24, "horizon": 6, "channels": 7, "feed_forward": 16, "blocks": 3, "dropout": 0.0}


def load_keras(network, weights, norm):
    """Copy Keras weights in their order: per block norm, time dense, norm, two feature denses; last the projection."""
    queue = iter(torch.from_numpy(array).float() for array in weights)

    def dense(layer):
        layer.weight.copy_(next(queue).T)
        layer.bias.copy_(next(queue))

    def norm_of(layer):
        names = ["weight", "bias"] + (["running_mean", "running_var"] if norm == "batch" else [])
        for name in names:
            getattr(layer, name).copy_(next(queue).reshape(getattr(layer, name).shape))

    with torch.no_grad():
        for time, feature in network.blocks:
            norm_of(time.norm)
            dense(time.fc1)
            norm_of(feature.norm_before)
            dense(feature.fc1)
            dense(feature.fc2)
        dense(network.temporal_projection)
    return next(queue, None) is None


@pytest.mark.parametrize(("file", "norm"), [("keras_L.npz", "layer"), ("keras_B.npz", "batch")])
def test_basic_tsmixer_equals_the_authors_keras_graph(shared_data, file, norm):
    """Outputs on the golden weights and inputs agree to 1e-5 of the largest output."""
    golden = np.load(shared_data / "golden" / file)
    network = TSMixer(TSMixerConfig(**CONFIG, norm=norm)).eval()
    weights = [golden[f"w{index}"] for index in range(len(golden["names"]))]

    used_all = load_keras(network, weights, norm)
    with torch.no_grad():
        y = network(torch.from_numpy(golden["x"]).float()).numpy()

    assert used_all
    assert np.abs(y - golden["y"]).max() <= 1e-5 * np.abs(golden["y"]).max()


def test_rev_in_commutes_with_a_change_of_units():
    """Scaling and shifting a channel scales and shifts its forecast likewise, to the 1e-5 in its variance."""
    torch.manual_seed(0)
    network = TSMixer(TSMixerConfig(**CONFIG, norm="layer", rev_in=True)).double().eval()
    x = torch.randn(4, 24, 7, dtype=torch.float64)

    with torch.no_grad():
        plain, changed = network(x), network(1000 * x + 7)

    assert (1000 * plain + 7 - changed).abs().max() <= 1e-4 * changed.abs().max()
