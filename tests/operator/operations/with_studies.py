"""The operator as it is, but for its studies: they are in the database that STUDIES names, and not in a Postgres."""

import os
from functools import partial
from unittest.mock import patch

from runyard_operator import main
from runyard_operator.trainingsweeps import studies, work

if __name__ == "__main__":
    with patch.object(work, "ByStudy", partial(studies.ByStudy, os.environ["STUDIES"], {})):
        main.main()
