"""What happens to a batch, step by step: receive, accept, approve, work, settle, report."""
