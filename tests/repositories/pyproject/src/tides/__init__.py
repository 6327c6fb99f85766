import iniconfig

PARSER = iniconfig.__name__
LEVEL = 1
