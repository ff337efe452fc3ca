"""Working: claim, send and settle, over whole columns."""
