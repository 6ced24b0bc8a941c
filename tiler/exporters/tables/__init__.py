"""Exporters of tables: one row per tile."""
