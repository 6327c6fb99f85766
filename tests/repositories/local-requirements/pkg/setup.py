from setuptools import setup

setup(name="inner-package", version="1", py_modules=["inner_package"])
