import threading

import pytest
import sqlalchemy as sql

from hrlaif.errors import DataError, UsageError
from hrlaif.human import database as db


@pytest.fixture
def database(tmp_path):
    found = db.Database(f"sqlite:///{tmp_path}/v.sqlite")
    yield found
    found.close()


def test_a_database_is_opened_again_with_its_rows(database):
    row = {"alias": "ada", "seed": "s", "created": 0.0}
    database.write(lambda connection: connection.execute(db.raters.insert().values(row)))
    again = db.Database(str(database.engine.url))
    with again.reading() as connection:
        assert connection.execute(sql.select(db.raters.c.alias)).scalars().all() == ["ada"]
        assert connection.execute(sql.select(db.version.c.number)).scalars().all() == [1]
    again.close()


@pytest.mark.parametrize("number", [0, 9])
def test_a_database_of_another_version_is_refused_with_the_next_move(database, number):
    change = db.version.update().values(number=number)
    database.write(lambda connection: connection.execute(change))
    with pytest.raises(DataError, match=f"of version {number}, this program knows 1: use the hr"):
        db.Database(str(database.engine.url))


def test_one_failing_writer_of_many_undoes_its_own_work_alone(database):
    def add(n):
        def work(connection):
            row = {"alias": f"r{n}", "seed": "s", "created": 0.0}
            connection.execute(db.raters.insert().values(row))
            if n % 5 == 0:
                raise DataError(f"no {n}")
            return n

        return work

    results, failures = [], []

    def call(n):
        try:
            results.append(database.write(add(n)))
        except DataError as error:
            failures.append(str(error))

    threads = [threading.Thread(target=call, args=(n,)) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as connection:
        kept = sorted(connection.execute(sql.select(db.raters.c.alias)).scalars())
    assert sorted(results) == [n for n in range(40) if n % 5]
    assert len(failures) == 8
    assert kept == sorted(f"r{n}" for n in results)


@pytest.mark.parametrize(
    ("url", "error", "says"),
    [
        ("nonsense", UsageError, "give sqlite:///FILE or postgresql://"),
        ("mysql://me@here/x", UsageError, "mysql is neither sqlite nor postgresql"),
        ("sqlite:////not/there/v.sqlite", DataError, "check that it is there"),
        ("postgresql://me:hidden@127.0.0.1:1/x", DataError, "check that it is there"),
        ("postgresql://me:hidden@here:abc/x", UsageError, "give sqlite:///FILE or postgresql://"),
    ],
)
def test_an_address_that_cannot_be_used_is_told_without_its_password(url, error, says):
    with pytest.raises(error, match=says) as told:
        db.Database(url)
    assert "hidden" not in str(told.value)


def test_the_file_is_for_its_owner_alone(database, tmp_path):
    database.write(lambda connection: connection.execute(db.version.update().values(number=1)))
    modes = {path.name: path.stat().st_mode & 0o077 for path in tmp_path.glob("v.sqlite*")}
    assert "v.sqlite-wal" in modes
    assert set(modes.values()) == {0}
