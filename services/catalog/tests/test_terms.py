from kit.testing import Running
from schemas.course import TermsChanged


async def test_the_default_terms_are_announced_once_by_the_migration(catalog: Running) -> None:
    announced = await catalog.published(TermsChanged)

    assert [(t.kind, t.discount_bp, t.platform_share_bp) for t in announced] == [
        ("business", 1500, 5000),
        ("public", 0, 0),
    ]
