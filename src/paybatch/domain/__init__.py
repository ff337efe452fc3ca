"""The words of the house: money, fields, reasons, lifecycles, contracts. Imports nothing of ours."""
