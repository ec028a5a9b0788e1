"""weighbridge spend: where the month is heading, asked, recorded and drawn."""
