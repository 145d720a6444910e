"""Labelled images: CIFAR-10, CIFAR-100, folders of classes, embedded digits."""
