"""The columns of the FOCUS datasets we write, by version, in the order of the specification (by name).

To follow a new version: its columns here, and what they hold in ``focus``.
"""

from typing import Final

SHARED: Final = (
    "AvailabilityZone", "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType",
    "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart", "CapacityReservationId",
    "CapacityReservationStatus", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "CommitmentDiscountCategory", "CommitmentDiscountId",
    "CommitmentDiscountName", "CommitmentDiscountQuantity", "CommitmentDiscountStatus",
    "CommitmentDiscountType", "CommitmentDiscountUnit", "ConsumedQuantity", "ConsumedUnit",
    "ContractedCost", "ContractedUnitPrice", "EffectiveCost", "InvoiceId", "InvoiceIssuerName",
    "ListCost", "ListUnitPrice", "PricingCategory", "PricingCurrency",
    "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost",
    "PricingCurrencyListUnitPrice", "PricingQuantity", "PricingUnit", "RegionId", "RegionName",
    "ResourceId", "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory",
    "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName",
    "SubAccountType", "Tags",
)  # fmt: skip
ONLY: Final[dict[str, tuple[str, ...]]] = {
    "1.2": ("ProviderName", "PublisherName"),
    "1.4": (
        "AllocatedMethodDetails", "AllocatedMethodId", "AllocatedResourceId", "AllocatedResourceName",
        "AllocatedTags", "CommitmentProgramEligibilityDetails", "ContractApplied", "HostProviderName",
        "InvoiceDetailId", "ServiceProviderName",
    ),
}  # fmt: skip
OURS: Final = (
    "x_CostCenterId", "x_HostProviderName", "x_Model", "x_ModelId", "x_PriceStatus",
    "x_ReconciliationStatus", "x_RequestCount", "x_ServiceTier", "x_TokenCacheAction", "x_TokenClass",
    "x_TokenDirection",
)  # fmt: skip
BILLING_PERIOD: Final = (
    "BillingPeriodCreated", "BillingPeriodEnd", "BillingPeriodLastUpdated", "BillingPeriodStart",
    "BillingPeriodStatus", "InvoiceIssuerName",
)  # fmt: skip
INVOICE_DETAIL: Final = (
    "BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart",
    "ChargeCategory", "InvoiceDetailCreated", "InvoiceDetailDescription", "InvoiceDetailGrain",
    "InvoiceDetailId", "InvoiceDetailLastUpdated", "InvoiceId", "InvoiceIssueDate", "InvoiceIssueStatus",
    "InvoiceIssuerName", "PaymentCurrency", "PaymentCurrencyBilledCost",
    "PaymentCurrencyInvoiceDetailId", "PaymentDueDate", "PaymentTerms", "PurchaseOrderNumber",
    "ReferenceInvoiceId",
)  # fmt: skip
DECIMALS: Final = frozenset(
    {
        "BilledCost", "CommitmentDiscountQuantity", "ConsumedQuantity", "ContractedCost",
        "ContractedUnitPrice", "EffectiveCost", "ListCost", "ListUnitPrice", "PaymentCurrencyBilledCost",
        "PricingCurrencyContractedUnitPrice", "PricingCurrencyEffectiveCost",
        "PricingCurrencyListUnitPrice", "PricingQuantity",
    }
)  # fmt: skip
VERSIONS: Final = tuple(ONLY)


def cost_and_usage_columns(version: str) -> tuple[str, ...]:
    """The header of a Cost and Usage file. Raises KeyError on a version we do not write."""
    return (*sorted((*SHARED, *ONLY[version])), *OURS)
