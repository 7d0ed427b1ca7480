"""Two processes with half a batch each normalise, judge, learn and remember as one does with all of it."""

import multiprocessing
import os
import socket

import pytest
import torch
from lightning.fabric import Fabric
from torch import nn

from cratermill.training.all_processes import loss_of_all, share_batch_norm
from cratermill.training.loop import Training
from cratermill.training.task import Task


def network():
    from timm.layers import BatchNormAct2d

    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3), BatchNormAct2d(3, momentum=0.3))


def no_mean(out, target):
    """Divided by a sum of terms, as focal is, and a quotient of sums, as Dice."""
    terms = (out - target).square()
    return (terms * out.abs()).sum() / terms.sum() - (out * target).sum() / (out.square().sum() + target.sum())


def learn(net, images, processes=1):
    """Outputs, loss, gradients and running statistics after one step; of several processes the mean of the gradients, as DDP takes it."""
    out = net(images)
    loss = loss_of_all(no_mean, out, (images[:, :, 4:, 4:].mean((2, 3), keepdim=True) > 2).float().expand_as(out))
    loss.backward()
    gradients = [weight.grad for weight in net.parameters()]
    if processes > 1:
        for gradient in gradients:
            torch.distributed.all_reduce(gradient)
            gradient /= processes
    return out.detach(), [loss.detach(), *gradients], [buffer.clone() for buffer in net.buffers()]


def half(rank, folder, images, answers):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    net = share_batch_norm(network(), torch.device("cpu"))
    out, gradients, buffers = learn(net, images[rank::2], processes=2)
    net.eval()
    answers.put((rank, out.numpy(), [g.numpy() for g in gradients], [b.numpy() for b in buffers], net(images[:1]).detach().numpy()))
    torch.distributed.destroy_process_group()


def test_two_processes_equal_one(tmp_path):
    images = torch.randn(6, 1, 9, 9, generator=torch.Generator().manual_seed(1)) * 3 + 2
    alone = network()
    out, gradients, buffers = learn(alone, images)
    alone.eval()
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    workers = [context.Process(target=half, args=(rank, tmp_path, images, answers)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    said = [answers.get(timeout=120) for _ in workers]
    for worker in workers:
        worker.join(30)
    for rank, its_out, its_gradients, its_buffers, later in said:
        torch.testing.assert_close(torch.from_numpy(its_out), out[rank::2], rtol=1e-4, atol=1e-5)
        for one, other in zip([*its_gradients, *its_buffers], [*gradients, *buffers], strict=True):
            torch.testing.assert_close(torch.as_tensor(one).float(), other.float(), rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(torch.from_numpy(later), alone(images[:1]).detach(), rtol=1e-4, atol=1e-5)


def test_names_and_weights_stay_and_alone_nothing_changes():
    one, other = network(), network()
    shared = share_batch_norm(other, torch.device("cpu"))
    assert list(shared.state_dict()) == list(one.state_dict())
    images = torch.randn(4, 1, 9, 9)
    torch.testing.assert_close(shared(images), one(images))


class Line(Task):
    """A line through points; ``spare`` is a weight that no loss reaches."""

    def __init__(self, steady, spare):
        super().__init__()
        self.steady, self.network = steady, nn.Linear(3, 1)
        nn.init.constant_(self.network.weight, 0.5)
        nn.init.zeros_(self.network.bias)
        if spare:
            self.network.spare = nn.Parameter(torch.ones(2))

    def optimizers(self):
        return [(torch.optim.SGD(self.network.parameters(), lr=0.01), None)]

    def forward(self, batch, part=0):
        return loss_of_all(lambda out: (out - 1).square().mean(), self.network(batch["x"]))


def steps(rank, port, steady, spare, points, answers):
    """What five steps of one of two processes come to, and whether DDP searched each of them for unused weights."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
    more = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "a test"}
    os.environ.update({name: str(value) for name, value in (place | more).items()})
    fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
    fabric.launch()
    training = Training(fabric, Line(steady, spare), *[None] * 6)
    for batch in points:
        training.step({"x": batch[rank::2]})
    searched = training.model._forward_module.find_unused_parameters
    answers.put((searched, *(weight.detach().numpy().copy() for weight in training.task.network.parameters())))
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize(("steady", "spare", "searches"), [(True, False, False), (True, True, True), (False, False, True)])
def test_unused_weights_are_searched_for_only_where_there_may_be_some(steady, spare, searches):
    """With the same numbers as one process has, whether DDP searches or not."""
    points = torch.randn(5, 4, 3, generator=torch.Generator().manual_seed(2))
    alone = Line(steady, spare)
    ((optimizer, _),) = alone.optimizers()
    for batch in points:
        optimizer.zero_grad()
        alone({"x": batch}).backward()
        optimizer.step()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    answers = context.Queue()
    workers = [context.Process(target=steps, args=(rank, port, steady, spare, points, answers)) for rank in (0, 1)]
    for worker in workers:
        worker.start()
    for searched, *weights in [answers.get(timeout=120) for _ in workers]:
        assert searched is searches
        for one, other in zip(weights, alone.network.parameters(), strict=True):
            torch.testing.assert_close(torch.from_numpy(one), other.detach(), rtol=1e-6, atol=1e-7)
    for worker in workers:
        worker.join(30)
