"""The least that a Typer program can be, to measure start-up against: python -m benchmarks.peers.bare_typer --help."""

import typer

app = typer.Typer()


@app.command()
def hello(name: str) -> None:
    """Say hello."""
    print(f"hello {name}")


if __name__ == "__main__":
    app()
