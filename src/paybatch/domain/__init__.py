"""The words of the house: money, fields, reasons, lifecycles and the contracts."""
