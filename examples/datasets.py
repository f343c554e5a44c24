# SPDX-License-Identifier: Apache-2.0
"""Images for the examples: counts of ink, with a held-out test split."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.datasets import fetch_openml, get_data_home, load_digits
from torch import Tensor

SPLIT_SEED = 20_000  # the split never changes with the seed of a run


@dataclass(frozen=True)
class Images:
    """Flattened images whose pixels are counts in {0, …, levels}."""

    name: str
    levels: int
    shape: tuple[int, int]
    train: Tensor
    test: Tensor
    train_labels: Tensor
    test_labels: Tensor

    def head(self, num_train: int, num_test: int) -> "Images":
        """The first images of each split, for a quick run."""
        return Images(
            self.name,
            self.levels,
            self.shape,
            self.train[:num_train],
            self.test[:num_test],
            self.train_labels[:num_train],
            self.test_labels[:num_test],
        )


def digits(num_test: int = 297) -> Images:
    """1797 handwritten digits, 8×8, from scikit-learn; nothing is downloaded.

    Each pixel counts the inked dots in a 4×4 block of a 32×32 bitmap, hence 0 to 16.
    Source: Alpaydin and Kaynak (1998), "Optical recognition of handwritten digits",
    UCI Machine Learning Repository.
    """
    data = load_digits()
    counts = torch.tensor(data.data, dtype=torch.float32)
    labels = torch.tensor(data.target)
    order = torch.randperm(
        len(counts), generator=torch.Generator().manual_seed(SPLIT_SEED)
    )
    test, train = order[:num_test], order[num_test:]
    return Images(
        "digits", 16, (8, 8), counts[train], counts[test], labels[train], labels[test]
    )


def mnist(num_test: int = 10_000) -> Images:
    """MNIST, 28×28, downloaded once from openml.org and binarized.

    Each grey value in [0, 1] is the probability that the pixel is inked, drawn once
    and kept: the static binarization that published ELBOs refer to. The last 10000
    images are the standard test set.
    Source: Salakhutdinov and Murray (2008), "On the quantitative analysis of deep
    belief networks".
    """
    try:
        # liac-arff needs no pandas.
        data = fetch_openml(
            "mnist_784", version=1, as_frame=False, parser="liac-arff", cache=True
        )
    except OSError as error:
        raise SystemExit(
            f"datasets.mnist: expected 'mnist_784' in {get_data_home()} or a network "
            f"connection to openml.org, but found neither ({error}). "
            "Connect once to download it, or use --data digits, which needs no network."
        ) from error
    grey = torch.tensor(np.asarray(data.data, dtype=np.float32) / 255)
    labels = torch.tensor(np.asarray(data.target, dtype=np.int64))
    ink = torch.bernoulli(grey, generator=torch.Generator().manual_seed(SPLIT_SEED))
    cut = len(ink) - num_test
    return Images(
        "mnist", 1, (28, 28), ink[:cut], ink[cut:], labels[:cut], labels[cut:]
    )


DATASETS = {"digits": digits, "mnist": mnist}
