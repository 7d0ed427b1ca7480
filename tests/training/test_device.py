"""What the machine at hand is good at."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from cratermill.training import device
from cratermill.training.normalised import Normalised


def test_a_compiled_network_takes_the_same_steps_under_the_same_names(monkeypatch):
    """What compilers make of a network is theirs to test: here it is taken apart and run as it stands."""
    graphs: list[torch.fx.GraphModule] = []
    monkeypatch.setattr(device, "BACKEND", lambda graph, _: graphs.append(graph) or graph.forward)
    states = []
    for wanted in (False, True):
        torch.manual_seed(0)
        network = Normalised(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Conv2d(3, 1, 1)), np.array([[1.0, 2], [3, 4]]))
        if wanted:
            device.compiled(network)
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            network(torch.rand(4, 2, 8, 8)).square().mean().backward()
            optimizer.step()
        assert bool(graphs) is wanted
        states.append(network.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.allclose(states[0][name], states[1][name], atol=1e-6) for name in states[0])
