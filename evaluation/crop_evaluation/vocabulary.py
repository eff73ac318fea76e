"""Every word the questions, answers and pictures use, and its number. Word 0 is padding."""
import unicodedata

# One-word names of Unicode characters that the colour emoji font draws distinctly; `CAT FACE` counts as `cat`.
OBJECTS = """abacus accordion airplane ambulance anchor ant aubergine automobile avocado axe backpack bacon badger balloon
banana banjo baseball basket bat bathtub beaver bed beetle bell bicycle bikini bison blossom bomb bone books boomerang
bouquet brick briefcase broccoli broom bucket bus butterfly cactus camera candle candy canoe carrot cat chair cherries
chicken church clipboard cloud clown coat coconut coin compass cookie coral cow crab crocodile croissant crown cucumber
cupcake deer dog dolphin door doughnut dragon dress duck eagle elephant envelope eye factory feather fire flamingo
frog garlic gear ghost giraffe gloves gorilla grapes guitar hamburger hammer hamster headphone hedgehog helicopter hibiscus
horse jeans kangaroo key kite kiwifruit koala ladder lemon lion lipstick lizard llama lobster lollipop lotus luggage magnet
mammoth microscope monkey mosque mountain mouse mushroom necktie octopus onion owl package pager panda
parachute parrot peach peacock pear pencil penguin pig pill pineapple popcorn potato pretzel purse rabbit raccoon radio
rainbow ribbon robot rocket rooster rose sailboat sandwich saxophone scorpion shark sheep snail snowman spider strawberry
sushi teapot television tent tiger tomato tractor trophy turtle umbrella violin watermelon whale wolf zebra""".split()

COLOURS = {
    "red": (215, 38, 40), "green": (40, 160, 60), "blue": (40, 80, 210), "yellow": (245, 215, 40),
    "purple": (140, 50, 170), "orange": (245, 135, 25), "white": (244, 244, 244), "black": (26, 26, 30),
    "pink": (250, 150, 190), "brown": (125, 80, 40),
}
# What signs are painted in; letters are white or black, whichever stands out.
SIGN_COLOURS = ["red", "green", "blue", "yellow", "purple", "orange", "black", "pink"]
SIGN_WORDS = "open exit stop sale bank milk soup wine park zone gate hall lost free pull push cafe news taxi fuel".split()
ITEMS = "milk soup wine salt rice corn tea ham jam oil nuts beef cake fuel".split()
NUMBERS = [str(number) for number in range(10, 60)]
TEXTS = list(dict.fromkeys(SIGN_WORDS + ITEMS + ["total"] + NUMBERS))
COUNTS = ["one", "two", "three", "four"]
SCENES = ["water", "sky", "flowers", "leaves", "woods", "mountains", "indoors", "pattern", "shapes", "page"]
FUNCTION_WORDS = "? is there what left right above below of color under says the sign how many which larger or background price yes no".split()

WORDS = ["<pad>"] + list(dict.fromkeys(FUNCTION_WORDS + COUNTS + list(COLOURS) + SCENES + TEXTS + OBJECTS))
ID = {word: number for number, word in enumerate(WORDS)}
CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"

KINDS = ["existence", "adversarial", "colour", "relation", "reading", "counting", "comparison", "scene", "document"]
QUESTION_LENGTH = 7

# Kinds of objects that occur together: an absent member of a group that is present makes an adversarial question.
GROUP_SIZE = 5
GROUPS = [OBJECTS[start::len(OBJECTS) // GROUP_SIZE] for start in range(len(OBJECTS) // GROUP_SIZE)]
GROUP_OF = {name: group for group in GROUPS for name in group}


def character(name):
    """The emoji of an object's name."""
    for candidate in (name, f"{name} face"):
        try:
            return unicodedata.lookup(candidate.upper())
        except KeyError:
            continue
    if name == "backpack":
        return "\N{SCHOOL SATCHEL}"
    raise ValueError(f"no character is named {name!r}")


def encode(question):
    """Word numbers of a question, padded to QUESTION_LENGTH."""
    numbers = [ID[word] for word in question.split()]
    if len(numbers) > QUESTION_LENGTH:
        raise ValueError(f"{question!r} has more than {QUESTION_LENGTH} words")
    return numbers + [0] * (QUESTION_LENGTH - len(numbers))
