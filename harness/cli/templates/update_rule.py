"""my_name: an update rule.

Check it  harness check my_name.py
See it    harness show my_name --plugin my_name.py
Use it    harness run --update "my_name(0.05)" --plugin my_name.py
"""

from harness import Scalar, elementwise, update_rule


@update_rule("my_name")
def my_name(learning_rate: Scalar = 0.1, decay: Scalar = 0.9):
    """v <- decay * v + (1 - decay) * g, u = -learning_rate * v"""

    # What happens to each parameter, in the words of NumPy. g is its gradient; v is state, which
    # begins as 0; the scalars stand after the *. The update comes first in what is returned, then
    # what each state becomes.
    def formula(g, v, *, learning_rate, decay):
        v = decay * v + (1 - decay) * g
        return -learning_rate * v, v

    return elementwise(formula, learning_rate=learning_rate, decay=decay)
