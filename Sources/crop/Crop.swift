@main struct Crop { static func main() {} }
