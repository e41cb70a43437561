"""A worker process: ``study_worker.py URL TRIALS LOST_S [HANG_AT]`` prints its trials and hangs in its HANG_AT-th one."""

import signal
import sys

from bot.research.trial_worker import Worker, open_study


def report(word):
    """Print a line for the test that started this process."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def main():
    """Work on a study whose objective is a parabola."""
    where, trials, lost_s, *hang = sys.argv[1:]
    done = 0

    def objective(trial):
        nonlocal done
        x = trial.suggest_float("x", -10, 10)
        done += 1
        report(trial.number)
        if hang and done == int(hang[0]):
            report("hangs")
            signal.pause()
        return -(x**2)

    study = open_study(where, "parabola", beat_s=1, lost_s=int(lost_s))
    Worker(study=study, trials=int(trials), base={"x": 3.0}, wait_s=0.2).work(objective)


if __name__ == "__main__":
    main()
