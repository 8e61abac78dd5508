"""The base class and the precision in which a forward computes."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

import course_losses as cl
from course_losses.loss import Loss, in_float32


class Seen(Loss):
    """Remembers the dtypes that its forward met; a matrix product, since autocast changes it."""

    @in_float32
    def forward(self, pred: Tensor, rest: object) -> Tensor:
        parts = rest.values() if isinstance(rest, dict) else rest
        self.dtypes = [pred.dtype, *(part.dtype for part in parts)]
        return self.reduce(pred @ pred.T)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("pack", [list, tuple, lambda parts: dict(enumerate(parts))])
def test_half_precision_is_widened_wherever_it_hides(dtype, pack):
    half, whole = torch.ones(2, 2, dtype=dtype), torch.ones(2, dtype=torch.int64)
    loss = Seen()
    result = loss(half, pack([half, whole]))
    assert loss.dtypes == [torch.float32, torch.float32, torch.int64]
    assert result.dtype == dtype
    assert loss(pred=half, rest=pack([half])).dtype == dtype


def test_result_promotes_as_in_torch():
    half, single, double = (
        torch.ones(2, 2, dtype=d) for d in (torch.half, torch.float, torch.double)
    )
    assert Seen()(half, [single]).dtype == torch.float32
    assert Seen()(double, [single]).dtype == torch.float64


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_autocast_neither_narrows_the_products_nor_the_result(dtype):
    pred = torch.linspace(1, 2, 64, dtype=dtype).reshape(8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        result = Seen("none")(pred, [])
    assert_close(result, pred.float() @ pred.float().T, rtol=0, atol=0)


def test_wrong_arguments_are_refused_under_autocast_too():
    with torch.autocast("cpu"), pytest.raises(TypeError, match=r"pred must be a torch\.Tensor"):
        cl.MSELoss()([0.0], [0.0])


def test_shapes_alone_can_be_asked_for():
    pred = torch.ones(3, device="meta", dtype=torch.half)
    assert cl.HuberLoss(reduction="none")(pred, pred).shape == (3,)


def test_nine_losses_compile_in_one_process():
    torch.compiler.reset()
    pred, target = torch.randn(2, 5)
    losses = [cl.MSELoss(), cl.L1Loss(), cl.HuberLoss(), cl.SmoothL1Loss(), cl.LogCoshLoss()]
    losses += [cl.AsymmetricMSELoss(), cl.QuantileLoss(), cl.MSELoss("sum"), cl.HuberLoss(2.0)]
    for loss in losses:
        compiled = torch.compile(loss, fullgraph=True, backend="eager")
        assert_close(compiled(pred, target), loss(pred, target))


def test_per_example_gradients_through_vmap():
    mean, variance, target = torch.randn(4), torch.rand(4) + 0.1, torch.randn(4)
    loss = cl.GaussianNLLLoss()
    slopes = torch.func.vmap(torch.func.grad(lambda m, v, y: loss(m, v, y)))(mean, variance, target)
    assert_close(slopes, (mean - target) / variance)


def test_name_survives_the_decoration():
    assert cl.HuberLoss.forward.__qualname__ == "HuberLoss.forward"


def test_repr_leaves_modules_to_torch():
    class Wrapping(Loss):
        def __init__(self, base: nn.Module, weight: float = 2.0) -> None:
            super().__init__()
            self.base, self.weight = base, weight

    assert repr(Wrapping(cl.MSELoss())).count("MSELoss") == 1
    assert "weight=2.0" in repr(Wrapping(cl.MSELoss()))
