# SPDX-License-Identifier: Apache-2.0
"""Matrix normal laws against arbitrary precision and the law of the long vector."""

import mpmath as mp
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from pyro_reparam_ext import distributions as D
from tests.references import matrix_variate

VALUE = {torch.float64: 1e-12, torch.float32: 1e-5}
LOC = [[0.5, -1.0], [2.0, 0.0], [0.25, 0.125]]
ROWS = [[1.25, 0.0, 0.0], [-0.5, 0.75, 0.0], [0.25, 0.5, 1.125]]
COLUMNS = [[0.0625, 0.0], [1.5, 2.0]]
every_dtype = pytest.mark.parametrize("dtype", list(VALUE), ids=str)


def arguments(dtype=torch.float64):
    return [torch.tensor(a, dtype=dtype) for a in (LOC, ROWS, COLUMNS)]


@every_dtype
def test_normal_log_prob(dtype):
    torch.manual_seed(0)
    law = D.MatrixNormal(*arguments(dtype))
    values = law.sample((5,))
    with mp.workdps(40):
        for value, found in zip(values, law.log_prob(values).tolist(), strict=True):
            expected = matrix_variate.normal_log_prob(
                value.tolist(), LOC, ROWS, COLUMNS
            )
            assert abs(found - expected) <= VALUE[dtype] * max(1, abs(expected))


def long_normal(loc, rows, columns):
    scale = torch.kron(rows.contiguous(), columns.contiguous())
    return MultivariateNormal(loc.flatten(), scale_tril=scale)


def test_it_is_the_normal_law_of_the_long_vector():
    loc, rows, columns = arguments()
    law, vector = D.MatrixNormal(loc, rows, columns), long_normal(loc, rows, columns)
    torch.testing.assert_close(law.entropy(), vector.entropy())
    torch.testing.assert_close(law.variance.flatten(), vector.variance)
    other = (loc + 0.3, 2 * rows + torch.eye(3).double(), columns.mT.tril())
    torch.testing.assert_close(
        kl_divergence(law, D.MatrixNormal(*other)),
        kl_divergence(vector, long_normal(*other)),
    )


def test_draws_move_with_every_parameter():
    """dZ = dM + dA e B' + A e dB', and nothing above the diagonals."""
    leaves = [a.requires_grad_() for a in arguments()]
    law = D.MatrixNormal(*leaves)
    torch.manual_seed(0)
    eps = law.noise().sample()
    weight = torch.randn(3, 2).double()
    by_loc, by_rows, by_columns = torch.autograd.grad(
        (weight * law.transport(eps)).sum(), leaves
    )
    _, rows, columns = (a.detach() for a in leaves)
    torch.testing.assert_close(by_loc, weight)
    torch.testing.assert_close(by_rows, (weight @ columns @ eps.mT).tril())
    torch.testing.assert_close(by_columns, (weight.mT @ rows @ eps).tril())


def test_matrices_of_other_sizes_are_refused():
    loc, rows, columns = arguments()
    with pytest.raises(ValueError, match="3 rows and 2 columns of loc"):
        D.MatrixNormal(loc, columns, rows)
    with pytest.raises(ValueError, match="loc must be a matrix"):
        D.MatrixNormal(loc[0], rows, columns)


DEGREES = [0.3, 1.5, 8.0, 1e5]


def student(df, dtype=torch.float64):
    return D.MatrixStudentT(torch.tensor(df, dtype=dtype), *arguments(dtype))


@every_dtype
@pytest.mark.parametrize("df", DEGREES)
def test_student_log_prob(df, dtype):
    torch.manual_seed(0)
    law = student(df, dtype)
    values = law.sample((5,))
    with mp.workdps(40):
        for value, found in zip(values, law.log_prob(values).tolist(), strict=True):
            expected = matrix_variate.student_log_prob(
                value.tolist(), law.df.item(), LOC, ROWS, COLUMNS
            )
            assert abs(found - expected) <= VALUE[dtype] * max(1, abs(expected))


@every_dtype
@pytest.mark.parametrize("df", DEGREES)
def test_student_distance_follows_its_quantile(df, dtype):
    torch.manual_seed(1)
    law = student(df, dtype)
    law.df.requires_grad_()
    values = law.sample((3,))
    path = law.attach_gradient(values)
    nu = mp.mpf(law.df.item())
    tolerance = {torch.float64: 1e-8, torch.float32: 1e-4}[dtype]
    a = mp.mpf(3)
    with mp.workdps(60):
        rows, columns = mp.matrix(ROWS), mp.matrix(COLUMNS)
        for value, moved in zip(values, path, strict=True):
            away = mp.matrix(value.tolist()) - mp.matrix(LOC)
            standard = rows**-1 * away * (columns**-1).T
            square = mp.fsum(x**2 for x in standard)
            y, rest = square / (nu + square), nu / (nu + square)
            b = nu / 2
            if y < rest:
                slope = mp.diff(
                    lambda b, y=y: mp.betainc(a, b, 0, y, regularized=True), b
                )
            else:
                slope = -mp.diff(
                    lambda b, rest=rest: mp.betainc(b, a, 0, rest, regularized=True),
                    b,
                )
            density = y**a * rest**b / mp.beta(a, b)  # of the log odds of y
            speed = (1 / nu - slope / density / 2) / 2
            allowed = tolerance * abs(speed) + 1e-11 / nu
            for i in range(3):
                for j in range(2):
                    (found,) = torch.autograd.grad(
                        moved[i, j], law.df, retain_graph=True
                    )
                    size = max(abs(x) for x in away)
                    assert abs(found.item() - speed * away[i, j]) <= allowed * size


def test_student_entropy_and_moments_have_known_limits():
    normal, wide = D.MatrixNormal(*arguments()), student(1e9)
    torch.testing.assert_close(wide.entropy(), normal.entropy(), rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(wide.variance, normal.variance)
    torch.testing.assert_close(student(4.0).variance, 2 * normal.variance)
    assert student(1.5).variance.isinf().all()
    assert student(0.5).mean.isnan().all()


def test_one_element_is_a_student_variate():
    one = torch.tensor([[1.0]], dtype=torch.float64)
    df = torch.tensor([0.4, 3.0, 50.0], dtype=torch.float64)
    law = D.MatrixStudentT(df, 0.3 * one, 2 * one, 0.5 * one)
    scalar = torch.distributions.StudentT(df, 0.3, 1.0)
    torch.testing.assert_close(law.entropy(), scalar.entropy())
    z = law.sample((5,))
    torch.testing.assert_close(law.log_prob(z), scalar.log_prob(z[..., 0, 0]))


@pytest.mark.slow
@every_dtype
@pytest.mark.parametrize("df", [0.3, 2.5, 30.0])
def test_student_gradient_of_a_bounded_mean(df, dtype):
    r"""Of log(1 + |e|^2/s), s fixed at df, whose mean is that of -log(1 - y)."""
    torch.manual_seed(0)
    n = 200_000
    loc, rows, columns = arguments(dtype)
    leaf = torch.full((n,), df, dtype=dtype, requires_grad=True)
    law = D.MatrixStudentT(leaf, loc, rows, columns)
    z = law.rsample()
    standard = D.MatrixNormal(loc, rows, columns).inverse(z)
    power = torch.log1p(standard.square().sum((-2, -1)) / leaf)
    (slope,) = torch.autograd.grad(power.sum(), leaf)
    half = torch.tensor(df / 2, dtype=torch.float64)
    trigamma = torch.special.polygamma
    expected = 0.5 * (trigamma(1, half + 3) - trigamma(1, half))
    error = slope.double().std() / n**0.5
    assert (slope.double().mean() - expected).abs() <= 5 * error
