# SPDX-License-Identifier: Apache-2.0
"""Laws on the sphere, by Bessel functions, Beta functions and adaptive quadrature."""

import mpmath as mp


def cosine(value, loc):
    """Of the angle between two directions, of any lengths."""
    dot = mp.fsum(mp.mpf(x) * mp.mpf(y) for x, y in zip(value, loc, strict=True))
    return dot / (_norm(value) * _norm(loc))


def angle(value, loc):
    """Between two directions, of any lengths."""
    away = [x / _norm(value) - y / _norm(loc) for x, y in zip(value, loc, strict=True)]
    return 2 * mp.asin(_norm(away) / 2)


def unit(vector):
    """The direction of a vector."""
    return [mp.mpf(x) / _norm(vector) for x in vector]


def _norm(vector):
    return mp.sqrt(mp.fsum(mp.mpf(x) ** 2 for x in vector))


class VonMisesFisher:
    """By Bessel functions."""

    @staticmethod
    def log_prob(value, loc, concentration):
        kappa, half = mp.mpf(concentration), mp.mpf(len(loc)) / 2
        normalizer = (2 * mp.pi) ** half * mp.besseli(half - 1, kappa)
        return (
            kappa * cosine(value, loc) + (half - 1) * mp.log(kappa) - mp.log(normalizer)
        )

    @staticmethod
    def resultant(dim, concentration):
        half = mp.mpf(dim) / 2
        return mp.besseli(half, concentration) / mp.besseli(half - 1, concentration)

    @staticmethod
    def across(dim, concentration):
        """E sin^2 / (d - 1)."""
        return VonMisesFisher.resultant(dim, concentration) / concentration

    @staticmethod
    def slope(theta, dim, concentration):
        """The derivative of log tan(theta / 2) at a fixed quantile."""
        kappa = mp.mpf(concentration)
        mean = VonMisesFisher.resultant(dim, kappa)

        def term(t):
            ratio = (mp.sin(t) / mp.sin(theta)) ** (dim - 2)
            return (
                (mp.cos(t) - mean) * ratio * mp.exp(kappa * (mp.cos(t) - mp.cos(theta)))
            )

        unit = 1 / mp.sqrt(max(kappa, dim))
        if mp.cos(theta) > mean:
            breaks = [theta - k * unit for k in (1, 2, 4, 8, 16, 32)]
            points = [theta, *(b for b in breaks if b > 0), 0]
        else:
            breaks = [theta + k * unit for k in (1, 2, 4, 8, 16, 32)]
            points = [theta, *(b for b in breaks if b < mp.pi), mp.pi]
        return mp.quad(term, points) / mp.sin(theta)


class PowerSpherical:
    """By Beta functions."""

    @staticmethod
    def log_prob(value, loc, concentration):
        kappa, half = mp.mpf(concentration), (mp.mpf(len(loc)) - 1) / 2
        area = 2 * mp.pi**half / mp.gamma(half)
        density = 2 ** (2 * half - 1) * mp.beta(half + kappa, half)
        half_angle = angle(value, loc) / 2
        return 2 * kappa * mp.log(mp.cos(half_angle)) - mp.log(area * density)

    @staticmethod
    def resultant(dim, concentration):
        return concentration / (dim - 1 + concentration)

    @staticmethod
    def across(dim, concentration):
        """E sin^2 / (d - 1)."""
        half = (mp.mpf(dim) - 1) / 2
        square = mp.beta(half + concentration + 1, half + 1)
        return 4 * square / mp.beta(half + concentration, half) / (dim - 1)

    @staticmethod
    def slope(theta, dim, concentration):
        """The derivative of log tan(theta / 2) at a fixed quantile."""
        half = (mp.mpf(dim) - 1) / 2
        kappa = mp.mpf(concentration)
        mean = mp.digamma(half + kappa) - mp.digamma(2 * half + kappa)

        def term(t):
            log_ratio = mp.log(mp.cos(t / 2) / mp.cos(theta / 2))
            ratio = (mp.sin(t) / mp.sin(theta)) ** (dim - 2)
            score = 2 * mp.log(mp.cos(t / 2)) - mean
            return score * ratio * mp.exp(2 * kappa * log_ratio)

        unit = 1 / mp.sqrt(max(kappa, dim))
        if 2 * mp.log(mp.cos(theta / 2)) > mean:
            breaks = [theta - k * unit for k in (1, 2, 4, 8, 16, 32)]
            points = [theta, *(b for b in breaks if b > 0), 0]
        else:
            breaks = [theta + k * unit for k in (1, 2, 4, 8, 16, 32)]
            points = [theta, *(b for b in breaks if b < mp.pi), mp.pi]
        return mp.quad(term, points) / mp.sin(theta)


class _Circular:
    """Angles, by quadrature of the density."""

    @classmethod
    def standardize(cls, value, loc, **parameters):
        """Probability of the arc from the antipode of loc to value."""
        away = mp.mpf(value) - mp.mpf(loc)
        away -= 2 * mp.pi * mp.nint(away / (2 * mp.pi))
        return cls.centered_cdf(away, **parameters)

    @classmethod
    def cdf(cls, value, loc, **parameters):
        """Of the law on [-pi, pi)."""
        start = cls.standardize(-mp.pi, loc, **parameters)
        end = cls.standardize(value, loc, **parameters)
        return end - start + (1 if end < start else 0)


class WrappedCauchy(_Circular):
    """By the Poisson kernel."""

    @staticmethod
    def log_prob(value, loc, concentration):
        r = mp.mpf(concentration) * mp.expj(mp.mpf(value) - mp.mpf(loc))
        return mp.log(mp.re((1 + r) / (1 - r)) / (2 * mp.pi))

    @staticmethod
    def centered_cdf(angle, concentration):
        r = mp.mpf(concentration)
        # the series of the kernel, summed
        wave = mp.im(-mp.log(1 - r * mp.expj(angle)))
        return mp.mpf("0.5") + angle / (2 * mp.pi) + wave / mp.pi


class WrappedNormal(_Circular):
    """By the sum over turns, at any scale."""

    @staticmethod
    def log_prob(value, loc, scale):
        away = mp.mpf(value) - mp.mpf(loc)
        away -= 2 * mp.pi * mp.nint(away / (2 * mp.pi))
        return mp.log(
            mp.fsum(mp.npdf(away + 2 * mp.pi * k, 0, scale) for k in _turns(scale))
        )

    @staticmethod
    def centered_cdf(angle, scale):
        return mp.fsum(
            mp.ncdf((angle + 2 * mp.pi * k) / scale)
            - mp.ncdf((2 * mp.pi * k - mp.pi) / scale)
            for k in _turns(scale)
        )


def _turns(scale):
    most = 3 + int(mp.sqrt(mp.mp.dps * 5) * scale / 6)
    return range(-most, most + 1)
