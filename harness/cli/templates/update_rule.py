"""my_name: an update rule.

Check it  harness check my_name.py
See it    harness show my_name --plugin my_name.py
Use it    harness run --update "my_name(0.05)" --plugin my_name.py

All parameters lie in one flat array (..., n): ... is nothing for one network and (P,) for a
population.
"""

from harness import Rule, Scalar, update_rule


@update_rule("my_name")
def my_name(learning_rate: Scalar = 0.1, decay: Scalar = 0.9):
    """v <- decay * v + (1 - decay) * g, u = -learning_rate * v"""

    def init(arena):
        # Named state, made once. All of it is saved and restored with the network. A scalar may be
        # a number, one number a member of a population, or a schedule; so read it from the state at
        # every step.
        return {
            "v": arena.zeros(),
            "new": arena.zeros(),
            "learning_rate": arena.scalar(learning_rate),
            "decay": arena.scalar(decay),
            "rest": arena.scalar(0.0),
        }

    def update(u, arena, state):
        # u comes in as the gradient and goes out as what is added to the parameters. Write with
        # out=.
        xp = arena.xp
        v = state["v"]
        new = state["new"]
        rest = state["rest"]
        xp.subtract(1.0, state["decay"], out=rest)
        xp.multiply(u, rest, out=new)
        xp.multiply(v, state["decay"], out=v)
        xp.add(v, new, out=v)
        xp.negative(state["learning_rate"], out=rest)
        xp.multiply(v, rest, out=u)

    return Rule(init, update)
