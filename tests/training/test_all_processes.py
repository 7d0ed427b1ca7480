"""Two processes with half a batch each normalise, judge, learn and remember as one does with all of it."""

import multiprocessing

import torch
from torch import nn

from cratermill.training.all_processes import loss_of_all, share_batch_norm


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
    said = [answers.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join(600)
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
