"""Amounts as people read them."""


def readable(amount: int, currency: str) -> str:
    """`12500, EUR` → `EUR 125.00`: minor units of two digits, as every currency served here has."""
    sign = "-" if amount < 0 else ""
    return f"{currency} {sign}{abs(amount) // 100}.{abs(amount) % 100:02}"
