"""How Argo CD, kstatus and `kubectl wait` judge an object, each by its own rules."""
