"""Points on the earth, taken as a sphere: as directions from its centre, as distances, and on a map.

    points = unit_vectors(places.latitude, places.longitude)      # [place 3]
    km = great_circle_km(points, predicted)                       # [place]
    x, y = project_equal_earth(points)                            # [place] each

The length of a direction never matters.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

EARTH_RADIUS = 6371.0  # km, the mean radius
MAP_WIDTH = 5.42  # the equator, in the units of project_equal_earth


def unit_vectors(latitude: Float[Tensor, " place"], longitude: Float[Tensor, " place"]) -> Float[Tensor, "place 3"]:
    """Turn degrees into points on a sphere of radius 1, around which there is no jump at the date line.

    The first axis points to 0°N 0°E, the second to 0°N 90°E, the third to the north pole.
    """
    latitude, longitude = latitude.deg2rad(), longitude.deg2rad()
    x, y = latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin()
    return torch.stack([x, y, latitude.sin()], dim=1)


def great_circle_km(a: Float[Tensor, "*batch 3"], b: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    """Distance on the surface of the earth, taken as a sphere, between points given by their directions.

    Args:
        a, b: vectors from the centre of the earth; their length does not matter.
    """
    cross, dot = torch.linalg.cross(a, b).norm(dim=-1), (a * b).sum(dim=-1)
    return EARTH_RADIUS * torch.atan2(cross, dot)  # exact also for points that are close together, where acos is not


def project_equal_earth(points: Float[Tensor, "point 3"]) -> tuple[Float[Tensor, " point"], Float[Tensor, " point"]]:
    """Project directions from the centre of the earth to the plane, so that areas keep their proportions.

    Equal Earth: Šavrič, Patterson & Jenny 2019, Int. J. Geogr. Inf. Sci. 33(3):454-465. Across from -2.71 to 2.71,
    up from -1.32 to 1.32.
    """
    x, y, z = points.unbind(dim=1)
    theta = (math.sqrt(3) / 2 * z / points.norm(dim=1)).asin()
    a1, a2, a3, a4 = 1.340264, -0.081106, 0.000893, 0.003796
    up = a1 * theta + a2 * theta**3 + a3 * theta**7 + a4 * theta**9
    slope = a1 + 3 * a2 * theta**2 + 7 * a3 * theta**6 + 9 * a4 * theta**8  # of up, along theta
    return 2 / math.sqrt(3) * torch.atan2(y, x) * theta.cos() / slope, up


def shortest_way(start: Float[Tensor, " 3"], end: Float[Tensor, " 3"]) -> Float[Tensor, "point 3"]:
    """Points on the great circle between two directions."""
    share = torch.linspace(0, 1, 40)[:, None]
    return (1 - share) * start / start.norm() + share * end / end.norm()


def graticule() -> list[Float[Tensor, "point 3"]]:
    """Meridians 90° apart, those at the edge a little inside it, and parallels 30° apart."""
    latitude, longitude = torch.linspace(-90, 90, 61), torch.linspace(-179.99, 179.99, 61)
    meridians = [(latitude, torch.full((61,), degrees)) for degrees in (-179.99, -90.0, 0.0, 90.0, 179.99)]
    parallels = [(torch.full((61,), degrees), longitude) for degrees in (-30.0, 0.0, 30.0, 60.0)]
    return [unit_vectors(*line) for line in (*meridians, *parallels)]
