"""Django's part of the house: for now the migrations only."""
