"""Metric learning against pytorch-metric-learning and MONAI (the `peers` extra)."""

import pytest
import torch
from losses.tables.metric_learning import labelled, views
from monai.losses import ContrastiveLoss as MonaiNTXent
from pytorch_metric_learning import distances, losses, miners, reducers
from torch.testing import assert_close

import course_losses as cl

EUCLIDEAN = distances.LpDistance(normalize_embeddings=False)


def drawn(inputs) -> tuple[torch.Tensor, ...]:
    return inputs(torch.Generator().manual_seed(4))


@pytest.mark.parametrize("temperature", [0.07, 0.5, 2.0])
def test_nt_xent(temperature):
    a, b = drawn(views)
    both, labels = torch.cat([a, b]), torch.arange(len(a)).repeat(2)
    expected = losses.NTXentLoss(temperature)(both, labels)
    assert_close(cl.NTXentLoss(temperature)(a, b), expected)
    assert_close(cl.NTXentLoss(temperature)(a, b), losses.SupConLoss(temperature)(both, labels))
    monai = MonaiNTXent(temperature)(a.float(), b.float())
    assert_close(cl.NTXentLoss(temperature)(a, b).float(), monai)


@pytest.mark.parametrize("margin", [0.3, 1.0, 4.0])
def test_online_triplets(margin):
    x, labels = drawn(labelled)
    hard = miners.BatchHardMiner(distance=EUCLIDEAN)(x, labels)
    mean = losses.TripletMarginLoss(margin, distance=EUCLIDEAN, reducer=reducers.MeanReducer())
    assert_close(cl.OnlineTripletLoss(margin)(x, labels), mean(x, labels, hard))
    every = losses.TripletMarginLoss(margin, distance=EUCLIDEAN)  # averages what is not zero
    assert_close(cl.OnlineTripletLoss(margin, "all")(x, labels), every(x, labels))
    semi = miners.TripletMarginMiner(margin, "semihard", distance=EUCLIDEAN)(x, labels)
    assert_close(cl.OnlineTripletLoss(margin, "semi-hard")(x, labels), mean(x, labels, semi))


def test_contrastive():
    x, labels = drawn(labelled)
    i, j = torch.triu_indices(len(x), len(x), 1)
    same = labels[i] == labels[j]
    values = cl.ContrastiveLoss(margin=1.5, reduction="none")(x[i], x[j], same)
    peer = losses.ContrastiveLoss(0, 1.5, distance=EUCLIDEAN, reducer=reducers.DoNothingReducer())
    parts = peer(x, labels)  # each pair from both its ends, neither squared nor halved
    assert_close(values[same].sum(), (parts["pos_loss"]["losses"] ** 2).sum() / 2 / 2)
    assert_close(values[~same].sum(), (parts["neg_loss"]["losses"] ** 2).sum() / 2 / 2)
