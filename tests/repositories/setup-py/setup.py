from setuptools import setup

setup(name="currents", version="2.5", py_modules=["currents"], install_requires=["iniconfig"])
