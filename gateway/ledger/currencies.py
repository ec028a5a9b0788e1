"""The codes of currencies: the active alphabetic codes of ISO 4217, as the standard's table stands in November 2026.

Left out is what nobody is billed in: precious metals, bond market units, the codes for tests and for none.
To add or end one: its code here, with the amendment in the commit.
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


def unlike(code: str) -> str:
    """Why a text is no currency, to follow its place; '' where it is one."""
    if code in CODES:
        return ""
    meant = code.strip().upper()
    hint = f": write it {meant}" if meant in CODES else ""
    return f"expected a currency of ISO 4217 such as EUR, found {code!r}{hint}"
