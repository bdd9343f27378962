"""Where a request goes, and how: what `gateway` and `mesh` find out, and `forward` lives by. A value."""

from dataclasses import dataclass

from services.proxy.config_values import ForwardSettings
from services.proxy.features import NO_FEATURES, Features
from services.proxy.revocation import Oversight
from services.proxy.rewriting import HeaderPlan
from services.proxy.upstreams import Pool


@dataclass(frozen=True, slots=True)
class Destination:
    """Which pool, with which fields. `oversight` None: nobody's rights are at stake."""

    pool: Pool
    headers: HeaderPlan
    settings: ForwardSettings
    authorization: str | None = None
    extra_fields: tuple[tuple[str, str], ...] = ()
    oversight: Oversight | None = None
    features: Features = NO_FEATURES
