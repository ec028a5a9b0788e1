"""weighbridge budgets: limits, their records and pictures, and what the doctor says of them."""
