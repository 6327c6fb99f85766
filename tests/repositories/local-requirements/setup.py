from setuptools import setup

setup(name="editable-project", version="1", py_modules=["editable_project"])
