"""Currencies: the active alphabetic codes of ISO 4217, and their minor units, as its table stands in November 2026.

Left out is what nobody is billed in: precious metals, bond market units, the codes for tests and for none.
To add or end one: its code here, in ``_MINOR`` where its minor unit is no hundredth, the amendment in the commit.
"""

from typing import Final

# Checked against two packaged copies of the table, and brought to 2026: without HRK, SLL, ZWL, ANG, CUC, BGN,
# which have ended since 2023; with SLE, ZWG, XCG, which took the place of three of them.
CODES: Final = frozenset(
    """
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
    CAD CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP
    GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR
    KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN
    MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
    SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX
    USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XDR XOF XPF XSU XUA YER ZAR ZMW ZWG
    """.split()  # noqa: SIM905  # a table is read in rows
)

# How many decimals the minor unit has, where the standard does not say two. XDR, XSU and XUA have none stated: two.
_MINOR: Final = {
    **dict.fromkeys(
        [
            "BIF",
            "CLP",
            "DJF",
            "GNF",
            "ISK",
            "JPY",
            "KMF",
            "KRW",
            "PYG",
            "RWF",
            "UGX",
            "UYI",
            "VND",
            "VUV",
            "XAF",
            "XOF",
            "XPF",
        ],
        0,
    ),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
    **dict.fromkeys(["CLF", "UYW"], 4),
}
CENTS: Final = 2


def minor_digits(code: str) -> int:
    """How many decimals an amount of a currency has: 2 of EUR, 0 of JPY, 3 of KWD."""
    return _MINOR.get(code, CENTS)


def unlike(code: str) -> str:
    """Why a text is no currency, to follow its place; '' where it is one."""
    if code in CODES:
        return ""
    meant = code.strip().upper()
    hint = f": write it {meant}" if meant in CODES else ""
    return f"expected a currency of ISO 4217 such as EUR, found {code!r}{hint}"
