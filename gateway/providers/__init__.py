"""Providers: one file per cloud, named nowhere else. ``contract`` says what such a file must offer."""

import importlib
import pkgutil

from gateway.providers.contract import Provider


def installed() -> tuple[Provider, ...]:
    """Every provider in this folder, by name: a file with a module constant ``PROVIDER`` is one."""
    modules = (
        importlib.import_module(f"{__name__}.{found.name}")
        for found in pkgutil.iter_modules(__path__)
    )
    providers = [module.PROVIDER for module in modules if hasattr(module, "PROVIDER")]
    return tuple(sorted(providers, key=lambda provider: provider.name))
