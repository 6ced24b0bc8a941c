"""Settings of single groups: exporters, transforms and the tracker."""
