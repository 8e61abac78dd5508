"""Easy examples first: a loss that admits harder ones as the epochs pass."""

import torch
from torch import Tensor, nn

from course_losses.checks import fits, floating, not_empty, whole, within
from course_losses.loss import Loss, Reduction, in_float32, with_reduction


class CurriculumLoss(Loss):
    r"""Any loss over the examples that are easy enough for the current epoch.

    .. math::
        \ell = \frac{1}{|A|} \sum_{n \in A} \text{base}(\text{pred}_n, \text{target}_n) \qquad
        A = \Bigl\{ n : \text{difficulty}_n \le s + (1 - s)\, \frac{t}{T - 1} \Bigr\}

    at epoch :math:`t = 0, \dots, T - 1`. The gradient of an example that is not admitted is 0.
    Dividing by the number of those admitted keeps the step size apart from how many there are.

    Args:
        base: a loss of (pred, target) with a reduction, from here or from torch, with a value for
            each example. It is not modified, and its own reduction does not matter.
        total_epochs: the number of epochs T, >= 1. In the last one every example is admitted.
        start: the difficulty s admitted in epoch 0, in [0, 1].
        reduction: "mean", "sum" or "none".

    Shape:
        pred, target: as ``base`` wants them, examples in dimension 0. difficulty: :math:`(N)`, in
        [0, 1]. Result: scalar; :math:`(N)` for "none", with 0 for what is not admitted.

    Range:
        That of ``base``, and 0 when nothing is admitted.

    Raises:
        ValueError: a hyperparameter or a difficulty is out of range, the shapes do not fit,
            ``base`` gives no value for each example, or the batch is empty.
        TypeError: ``base`` is no loss module, or pred or difficulty not floating point.

    Convention:
        "mean" divides by the number of admitted examples, class weights in ``base`` or not. An
        example with several values (pixels, outputs) counts with their mean. With nothing admitted
        the result is a 0 that back-propagates. Call ``step_epoch`` after each epoch; further calls
        than T - 1 change nothing. The buffer ``epoch`` is saved with the state.

    Source:
        Bengio, Louradour, Collobert & Weston (2009), Curriculum Learning; the linear pace is one
        of several in use.

    >>> criterion = CurriculumLoss(nn.L1Loss(), total_epochs=3, start=0.5)
    >>> pred, target = torch.tensor([1.0, 2.0, 9.0]), torch.zeros(3)
    >>> difficulty = torch.tensor([0.1, 0.7, 1.0])
    >>> for _ in range(3):
    ...     print(criterion(pred, target, difficulty).item())
    ...     criterion.step_epoch()
    1.0
    1.5
    4.0
    """

    epoch: Tensor

    def __init__(
        self,
        base: nn.Module,
        total_epochs: int,
        start: float = 0.2,
        reduction: Reduction = "mean",
    ) -> None:
        super().__init__(reduction)
        self.base = with_reduction("base", base, "none")
        self.total_epochs = whole("total_epochs", total_epochs)
        self.start = within("start", start, "[0, 1]")
        self.register_buffer("epoch", torch.zeros((), dtype=torch.int64))

    def step_epoch(self) -> None:
        """Go on to the next epoch."""
        self.epoch.add_(1).clamp_(max=self.total_epochs - 1)

    def admits(self, difficulty: Tensor) -> Tensor:
        """Which examples count in this epoch."""
        last = self.total_epochs - 1  # 0 gives no threshold, and none is needed
        threshold = self.start + (1 - self.start) * self.epoch.double() / last
        return (difficulty <= threshold) | (self.epoch == last)

    @in_float32
    def forward(self, pred: Tensor, target: Tensor, difficulty: Tensor) -> Tensor:
        floating(pred=pred, difficulty=difficulty)
        not_empty(pred=pred)
        if not fits(target, pred.shape):
            raise ValueError(
                f"pred and target must fit, got pred {tuple(pred.shape)}, "
                f"target {tuple(target.shape)}: broadcasting would compare the wrong pairs"
            )
        examples = pred.shape[:1]
        if difficulty.shape != examples:
            raise ValueError(
                f"difficulty must have shape {tuple(examples)}, one value for each example, "
                f"got {tuple(difficulty.shape)}"
            )
        if not torch.compiler.is_compiling():
            low, high = (x.item() for x in torch.aminmax(difficulty))
            if not (low >= 0 and high <= 1):
                raise ValueError(
                    f"difficulty must be in [0, 1], got values from {low:.4g} to {high:.4g}: "
                    "divide by the largest, or use ranks"
                )
        values = self.base(pred, target)
        if values.shape[:1] != examples:
            raise ValueError(
                f"base must give a value for each of {len(pred)} examples with reduction='none', "
                f"got shape {tuple(values.shape)}"
            )
        admitted = self.admits(difficulty)
        values = torch.where(admitted, values.reshape(len(pred), -1).mean(1), 0.0)
        if self.reduction == "mean":
            return values.sum() / admitted.sum().clamp(min=1)
        return self.reduce(values)
