# SPDX-License-Identifier: Apache-2.0
"""Every planted mistake breaks the law that speaks of it; a right class breaks none."""

from typing import Any

import pytest
import torch
from torch.distributions import constraints

from pyro_reparam_ext.distributions import TransportDistribution
from pyro_reparam_ext.testing import (
    DISTRIBUTION_LAWS,
    DistributionCase,
    check_distribution,
)
from tests.distributions import broken, broken_edges

RAYLEIGH = {"scalar": {"scale": 1.3}, "batch": {"scale": [[0.4], [2.0]]}}
CAUGHT = [
    (broken.WrongSign, "log_det"),
    (broken.WrongSign, "normalized"),
    (broken.WrongSign, "fit"),
    (broken.WrongInverse, "round_trip"),
    (broken.WrongInverse, "standardized"),
    (broken.WrongInverse, "pathwise"),
    (broken.WrongCdf, "cdf_integral"),
    (broken.CdfBelowZero, "cdf_ends"),
    (broken.WrongIcdf, "icdf_inverts"),
    (broken.WrongMean, "mean"),
    (broken.WrongVariance, "variance"),
    (broken.WrongEntropy, "entropy"),
    (broken.WrongMode, "mode"),
    (broken.UndeclaredDomain, "domain"),
    (broken.LeavesTheSupport, "in_support"),
    (broken.Promotes, "dtype_kept"),
    (broken.Attached, "differentiable"),
    (broken.Detached, "pathwise"),
    (broken.Detached, "expectation"),
    (broken.Unseeded, "reproducible"),
    (broken.DropsTheType, "expand"),
    (broken.SharesDraws, "expand"),
    (broken.AcceptsAnything, "outside"),
    (broken.LosesPrecision, "same_density"),
    (broken.WrongKl, "kl"),
    (broken_edges.KeepsItsPrecision, "other_precision"),
    (broken_edges.CountsIntegers, "integers"),
    (broken_edges.TakesNumbers, "not_a_tensor"),
    (broken_edges.DrawsSome, "nothing"),
    (broken_edges.NeedsABatch, "no_batch"),
    (broken_edges.NanIsNothing, "nan_value"),
    (broken_edges.NanAtTheEnd, "ends"),
    (broken_edges.QuantilesInside, "icdf_ends"),
    (broken_edges.LacksWords, "missing"),
    (broken_edges.LooksLikeAWrapper, "not_a_wrapper"),
]


def rayleigh_case(make: Any) -> DistributionCase:
    return DistributionCase(name=make.__name__, make=make, points=RAYLEIGH)


def test_a_right_class_breaks_no_law() -> None:
    check_distribution(rayleigh_case(broken.Rayleigh))


@pytest.mark.parametrize(
    ("make", "law"), CAUGHT, ids=[f"{m.__name__}-{law}" for m, law in CAUGHT]
)
def test_mistake_is_caught(make: type[TransportDistribution], law: str) -> None:
    with pytest.raises(AssertionError, match=f"breaks the law {law} at point"):
        check_distribution(rayleigh_case(make), only=[law])


@pytest.mark.parametrize("law", ["special_limit", "pathwise", "expectation"])
def test_zero_gradient_at_a_special_point_is_caught(law: str) -> None:
    case = DistributionCase(
        name="ZeroAtZero",
        make=broken.ZeroAtZero,
        points={"zero": {"concentration": 0.0}},
        special=frozenset({"zero"}),
    )
    with pytest.raises(AssertionError, match=f"breaks the law {law}"):
        check_distribution(case, only=[law])


@pytest.mark.parametrize("law", ["fit", "standardized"])
def test_biased_sampler_is_caught(law: str) -> None:
    case = DistributionCase(
        name="BiasedSampler", make=broken.BiasedSampler, points={"unit": {"scale": 1.0}}
    )
    with pytest.raises(AssertionError, match=f"breaks the law {law}"):
        check_distribution(case, only=[law])


@pytest.mark.parametrize("law", ["pathwise", "expectation"])
def test_gradient_through_a_root_choice_is_caught(law: str) -> None:
    case = DistributionCase(
        name="NaiveInverseGaussian",
        make=broken.NaiveInverseGaussian,
        points={"unit": {"loc": 1.0, "concentration": 1.5}},
    )
    check_distribution(case, only=["fit"])  # its draws are right
    with pytest.raises(AssertionError, match=f"breaks the law {law}"):
        check_distribution(case, only=[law])


def test_second_derivative_that_lies_is_caught() -> None:
    case = DistributionCase(
        name="LiesTwice", make=broken.LiesTwice, points={"unit": {"scale": 0.7}}
    )
    check_distribution(case, only=["pathwise"])  # its first derivative is right
    with pytest.raises(AssertionError, match="breaks the law second_derivative"):
        check_distribution(case, only=["second_derivative"])


def test_a_false_location_scale_family_is_caught() -> None:
    case = DistributionCase(
        name="NotALocationScale",
        make=broken_edges.NotALocationScale,
        points={"unit": {"loc": 0.3, "scale": 0.7}},
    )
    with pytest.raises(AssertionError, match="breaks the law standardized_by_pyro"):
        check_distribution(case, only=["standardized_by_pyro"])


@pytest.mark.parametrize(("at", "law"), [(0.1, "in_support"), (1.0, "vmap")])
def test_known_defects_of_torch_are_caught(at: float, law: str) -> None:
    case = {
        "in_support": DistributionCase(
            name="torch's Kumaraswamy",
            make=torch.distributions.Kumaraswamy,
            points={"extreme": {"concentration1": at, "concentration0": at}},
        ),
        "vmap": DistributionCase(
            name="torch's Normal",
            make=torch.distributions.Normal,
            points={"unit": {"loc": 0.0, "scale": at}},
        ),
    }[law]
    with pytest.raises(AssertionError, match=f"breaks the law {law}"):
        check_distribution(case, only=[law])


def test_unknown_law_is_refused() -> None:
    with pytest.raises(ValueError, match="roundtrip"):
        check_distribution(rayleigh_case(broken.Rayleigh), only=["roundtrip"])


def test_every_law_is_one_sentence() -> None:
    for law in DISTRIBUTION_LAWS:
        assert (law.statement.__doc__ or "").strip().split("\n")[0].endswith(".")


def test_a_parameter_that_hides_a_method_is_refused() -> None:
    with pytest.raises(TypeError, match="may not be called 'shape'"):

        class Hiding(TransportDistribution):
            arg_constraints = {"shape": constraints.positive}  # noqa: RUF012
