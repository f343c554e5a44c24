# SPDX-License-Identifier: Apache-2.0
"""Laws of shapes, copies and arguments: what every Pyro distribution keeps."""

import copy
import math
import pickle
import sys

import torch
from torch.distributions import Independent

from pyro_reparam_ext.testing.cases import DistributionCase
from pyro_reparam_ext.testing.law import DOUBLE, Law, close, epsilon, is_first


def shapes(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """A draw has shape sample + batch + event, its log density sample + batch."""
    d = case.distribution(point, dtype)
    for sample_shape in ((), (1,), (3, 2)):
        shape = torch.Size(sample_shape) + d.batch_shape
        z = d.rsample(torch.Size(sample_shape))
        assert z.shape == shape + d.event_shape
        assert d.sample(torch.Size(sample_shape)).shape == z.shape
        assert d.log_prob(z).shape == shape
    assert d.shape((3, 2)) == (3, 2, *d.batch_shape, *d.event_shape)


def dtype_kept(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """Draws and log densities have the precision of the parameters."""
    d = case.distribution(point, dtype)
    z = d.rsample((2,))
    assert z.dtype == dtype
    assert d.sample().dtype == dtype
    assert d.log_prob(z).dtype == dtype


def expand(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """Expanding keeps the type and the density, and draws are independent."""
    d = case.distribution(point, dtype)
    z = d.sample()
    wide = d.expand(torch.Size((4, 3)) + d.batch_shape)
    assert type(wide) is type(d)
    assert wide.batch_shape == (4, 3, *d.batch_shape)
    assert wide.event_shape == d.event_shape
    assert wide.support.event_dim == d.support.event_dim
    # sums of many terms may be taken in another order
    actual, expected = wide.log_prob(z.expand(wide.shape())), d.log_prob(z)
    close(actual, expected, 8 * epsilon(dtype), 8 * epsilon(dtype), "log_prob")
    draws = wide.rsample((2,))
    assert draws.shape == (2, 4, 3, *d.batch_shape, *d.event_shape)
    assert len(draws.reshape(24, -1).unique(dim=0)) > 12
    again = wide.expand(torch.Size((2, 4, 3)) + d.batch_shape)
    assert type(again) is type(d)
    assert again.log_prob(draws).shape == again.batch_shape


def to_event(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """As one event, batch elements are independent: log densities add."""
    d = case.distribution(point, dtype).expand(
        (2, *case.distribution(point).batch_shape)
    )
    event = d.to_event(1)
    z = d.sample((3,))
    assert isinstance(event, Independent)
    assert event.has_rsample == d.has_rsample
    assert event.event_shape == d.batch_shape[-1:] + d.event_shape
    close(event.log_prob(z), d.log_prob(z).sum(-1), 1e-6, what="log_prob")


def mask(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """A mask sets the log density to 0 where it is false, and nowhere else."""
    d = case.distribution(point, dtype).expand(
        (2, *case.distribution(point).batch_shape)
    )
    keep = torch.zeros(d.batch_shape, dtype=torch.bool)
    keep[0] = True
    z = d.sample()
    masked = d.mask(keep)
    close(masked.log_prob(z), d.log_prob(z).where(keep, 0.0), 0.0, what="log_prob")
    assert masked.rsample((3,)).shape == (3, *d.batch_shape, *d.event_shape)
    assert masked.has_rsample == d.has_rsample


def pickled(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """A distribution restored from a pickle is the same distribution."""
    d = case.distribution(point, dtype)
    _same(d, pickle.loads(pickle.dumps(d)))


def copied(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """A deep copy is the same distribution, and shares no parameter."""
    d = case.distribution(point, dtype)
    new = copy.deepcopy(d)
    _same(d, new)
    shared = {v.data_ptr() for v in vars(d).values() if isinstance(v, torch.Tensor)} & {
        v.data_ptr() for v in vars(new).values() if isinstance(v, torch.Tensor)
    }
    assert not shared


def _same(
    d: torch.distributions.Distribution, new: torch.distributions.Distribution
) -> None:
    assert type(new) is type(d)
    assert new.batch_shape == d.batch_shape
    z = d.sample((5,))
    close(new.log_prob(z), d.log_prob(z), 0.0, what="log_prob")


def domain(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """A parameter outside its domain is an error that names the parameter."""
    for name, constraint in case.constraints().items():
        for wrong in (math.nan, -1.0):
            parameters = case.parameters(point, dtype)
            value = torch.full_like(parameters[name], wrong)
            if bool(constraint.check(value).all()):
                continue
            parameters[name] = value
            message = ""
            try:
                case.make(**parameters)
            except ValueError as error:
                message = str(error)
            assert message, f"{name} = {wrong} was accepted"
            assert name in message, f"{name} is not named: {message}"


def broadcast(case: DistributionCase, point: str, dtype: torch.dtype) -> None:
    """Parameters broadcast to the batch shape, and an error says when they do not."""
    parameters = case.parameters(point, dtype)
    batch_shape = case.distribution(point).batch_shape
    first = next(iter(parameters))
    wide = parameters[first].expand((3, 1, *batch_shape))
    assert case.make(**{**parameters, first: wide}).batch_shape == wide.shape
    narrow = {n: p.reshape(-1)[:1].expand(2) for n, p in parameters.items()}
    narrow[first] = narrow[first][:1].expand(3)
    try:
        case.make(**narrow)
    except (ValueError, RuntimeError):
        return
    raise AssertionError("shapes (3,) and (2,) were accepted")


def _has_domains(case: DistributionCase, point: str) -> bool:
    return bool(case.constraints())


def _broadcasts(case: DistributionCase, point: str) -> bool:
    return is_first(case, point) and len(case.points[point]) > 1 and not case.event_dims


def _is_importable(case: DistributionCase, point: str) -> bool:
    """Whether the class is found by its name: Python pickles no other."""
    cls = type(case.distribution(point))
    module = sys.modules.get(cls.__module__)
    return getattr(module, cls.__qualname__, None) is cls


LAWS = [
    Law(shapes),
    Law(dtype_kept),
    Law(expand),
    Law(to_event),
    Law(mask),
    Law(pickled, applies=_is_importable, dtypes=DOUBLE),
    Law(copied, dtypes=DOUBLE),
    Law(domain, applies=_has_domains, dtypes=DOUBLE),
    Law(broadcast, applies=_broadcasts, dtypes=DOUBLE),
]
